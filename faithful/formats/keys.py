"""Keys of other tools' SAE configs: those that decide what is computed are read or refused, the harmless stand here with why.

From the sources of SAELens 0.5 to 6.54, of sparsify 1.0 to 1.3 and of dictionary_learning, and of what came before and after
in their repositories. A key in none of these lists is refused by name: it might change activations.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from faithful.base.errors import FaithfulError

RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}
SAE_LENS_READ = (
    "architecture", "d_in", "d_sae", "k", "activation_fn", "activation_fn_kwargs", "apply_b_dec_to_input",
    "finetuning_scaling_factor", "normalize_activations", "reshape_activations", "rescale_acts_by_decoder_norm", "metadata",
    "hook_name", "hook_head_index", "hook_name_out", "hook_head_index_out", "model_name", "model_class_name", "model_kwargs",
    "model_from_pretrained_kwargs", "prepend_bos", "seqpos_slice", "context_size", "dataset_path", "training_architecture",
    "training_architecture_details",
)  # fmt: skip
SPARSIFY_READ = (
    "activation", "k", "signed", "transcode", "skip_connection", "embed_skip", "gram_lookup", "num_latents",
    "expansion_factor", "d_in",
)  # fmt: skip
SPARSIFY_RUN_READ = ("model", "revision", "load_in_8bit", "load_in_4bit", "model_args", "hook_mode", "sae")
DICTIONARY_READ = ("dict_class", "activation_dim", "dict_size", "k", "layer", "lm_name", "submodule_name", "seed")
DICTIONARY_BUFFER_READ = ("io", "ctx_len")
SAE_LENS_HARMLESS = {
    "its training: the weights hold what came of it": """
        b_dec_init_method expansion_factor from_pretrained_path decoder_orthogonal_init decoder_heuristic_init
        decoder_heuristic_init_norm decoder_init_norm init_encoder_as_decoder_transpose normalize_sae_decoder noise_scale
        training_tokens total_training_tokens total_training_steps finetuning_tokens finetuning_method train_batch_size
        train_batch_size_tokens adam_beta1 adam_beta2 mse_loss_normalization l1_coefficient lp_norm l1_warm_up_steps
        scale_sparsity_penalty_by_decoder_norm lr lr_scheduler_name lr_warm_up_steps lr_end lr_decay_steps n_restart_cycles
        use_ghost_grads feature_sampling_window feature_sampling_method feature_reinit_scale resample_batches
        dead_feature_window dead_feature_threshold dead_feature_estimation_method jumprelu_init_threshold jumprelu_bandwidth
        jumprelu_sparsity_loss_mode jumprelu_tanh_scale jumprelu_ste_to_input l0_coefficient l0_warm_up_steps
        pre_act_loss_coefficient target_l0 aux_loss_coefficient use_sparse_activations topk_threshold_lr matryoshka_widths
        use_matryoshka_aux_loss n_batches_for_norm_estimate seed autocast sae""",
    "which text it was trained on, and how it was cut; a study states its own": """
        dataset_trust_remote_code is_dataset_tokenized streaming use_chat_formatting disable_concat_sequences
        sequence_separator_token exclude_special_tokens context_length""",
    "how activations were made and kept on their way; their values are the model's": """
        use_cached_activations cached_activations_path n_batches_in_buffer store_batch_size store_batch_size_prompts
        tokens_per_buffer activations_mixing_fraction act_store_device llm_device prefetch_llm_batches autocast_lm
        compile_llm llm_compilation_mode compile_sae sae_compilation_mode""",
    "logs, checkpoints and evaluation": """
        log_to_wandb log_activations_store_to_wandb log_optimizer_state_to_wandb log_weights_to_wandb wandb_project wandb_id
        run_name wandb_entity wandb_log_frequency eval_every_n_wandb_logs logger n_eval_batches n_eval_seqs
        eval_batch_size_prompts hook_eval hook_point_eval n_checkpoints checkpoint_path save_final_checkpoint output_path
        resume resume_from_checkpoint verbose""",
    "where the weights lay and in which type; here float32 on the CPU": "dtype device",
    "the layer again, which the hook's name says": "hook_layer layer",
    "versions and names": """
        sae_lens_version sae_lens_training_version neuronpedia_id hf_hook_name hf_hook_name_out hookpoint""",
    "figures that were measured": "l0 fvu never_fired num_dead_features steps tokens",
    "what this package says of its own SAEs": "faithful faithful_seed data_seed corpus notes",
}
SPARSIFY_HARMLESS = {
    "its training: the weights hold what came of it": "normalize_decoder multi_topk lr auxk_alpha dead_percentage",
    "of the table that gram_lookup reads, which is refused": "lookup_max_order gram_table_hash",
}
SPARSIFY_RUN_HARMLESS = {
    "its training: the weights hold what came of it": """
        batch_size grad_acc_steps micro_acc_steps loss_fn optimizer lr lr_warmup_steps k_decay_steps auxk_alpha
        dead_feature_threshold exclude_tokens init_seeds distribute_modules distribute_layers tp finetune adam_8bit
        adam_epsilon""",
    "all places of the run, of which the folder names this one": "hookpoints layers layer_stride",
    "which text it was trained on": """
        dataset split ctx_len return_overflowed_tokens max_examples resume text_column shuffle_seed seed
        data_preprocessing_num_proc data_args hf_token data_seed""",
    "of the table that gram_lookup reads, which is refused": "gram_table_path",
    "logs and checkpoints": "save_every save_best save_dir log_to_wandb run_name wandb_log_frequency",
}
DICTIONARY_HARMLESS = {
    "its training: the weights hold what came of it, the factor that activations were divided by too": """
        trainer_class lr steps warmup_steps decay_start resample_steps sparsity_warmup_steps l1_penalty sparsity_penalty
        sparsity_function p_start p_end anneal_start sparsity_queue_length n_sparsity_updates auxk_alpha top_k_aux
        threshold_beta threshold_start_step k_anneal_steps bandwidth target_l0 group_fractions group_weights group_sizes
        norm_factor""",
    "where it was trained, and what its run was called": "device wandb_name",
}
DICTIONARY_BUFFER_HARMLESS = {
    "how activations were made and kept on their way": """
        d_submodule n_ctxs refresh_batch_size out_batch_size device remove_bos max_activation_norm_multiple""",
}
KWARGS_HARMLESS = {
    "folded into weights that read or write elsewhere: no stream, attention or MLP output changes": """
        fold_ln fold_value_biases center_unembed refactor_factored_attn_matrices""",
    "where and in which type the model was held": """
        device n_devices move_to_device device_map dtype torch_dtype low_cpu_mem_usage attn_implementation""",
    "text reaches the model as prepend_bos says": "default_prepend_bos default_padding_side tokenizer",
    "layers above the hook, positions beyond the context": "first_n_layers n_ctx",
    "how it was fetched": "cache_dir local_files_only force_download token use_auth_token trust_remote_code",
}


def harmless(lists: Mapping[str, str]) -> set[str]:
    """The keys of such a list."""
    return {key for keys in lists.values() for key in keys.split()}


def refuse_unknown(keys: Iterable[str], read: Iterable[str], lists: Mapping[str, str], where: str) -> None:
    """Refuse keys that are neither read nor known to be harmless.

    Raises:
        FaithfulError: names them.
    """
    unknown = sorted(set(keys) - set(read) - harmless(lists))
    if unknown:
        raise FaithfulError(
            f"The config of {where} states {', '.join(map(repr, unknown))}, which this version does not know and which may"
            " change activations; take it out of the config if it does not, else choose another SAE."
        )


def refuse_stated(stated: Mapping[str, Any], reasons: Mapping[str, str], where: str) -> None:
    """Refuse the first of some keys that states anything.

    Args:
        stated: the config.
        reasons: for each key that cannot be honoured, what it means.
        where: the SAE, for the sentence.

    Raises:
        FaithfulError: names the key, its value and what it means.
    """
    for key, reason in reasons.items():
        if stated.get(key) not in (None, False, {}, [], ""):
            raise FaithfulError(f"{where} states {key} {stated[key]!r}: {reason}; choose another SAE.")
