"""Memory of `faithful study seeds` with large SAEs: `python -m benchmarks.bench_seeds FOLDER [--saes 8 --pairs 2]`.

A GPT-2 of one layer with random weights, the embedded corpus `prose` in its tokens, and TopK SAEs of d_sae × d_in with random
decoders of which 40 % are shared. The study itself runs, by its own function: all SAEs code the panel, the first pairs are
matched in full, every floor is made but that of SAEs trained on Gaussian activations. Printed for each step: the peak of the
process' resident memory (VmHWM, begun anew at each step) above what it held before the first SAE, with all modules and the
model loaded, and how many SAEs' weights (8 bytes × d_sae × d_in) that is. FOLDER is taken up again; each SAE takes 8 bytes ×
d_sae × d_in there.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.shared import machine

K, SHARED, NOISE = 32, 0.4, 0.48


def write_model(folder: Path, d_in: int) -> None:
    """A GPT-2 of one layer, with the tokenizer of `tiny`."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from faithful.models.presets import tiny_path

    tokenizer = AutoTokenizer.from_pretrained(tiny_path())
    torch.manual_seed(0)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=d_in, n_layer=1, n_head=16, n_inner=64, n_positions=128, **special
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_saes(folder: Path, count: int, d_sae: int, d_in: int, seed: int = 0) -> None:
    """SAEs with the record of a training, those that are there already left as they are."""
    from faithful.formats.files import CONFIG, save_sae
    from faithful.sae.topk import TopKSAE

    shape = f"resid_pre.0-f{d_sae}-k{K}"
    generator = torch.Generator().manual_seed(seed)
    shared = torch.nn.functional.normalize(torch.randn(int(SHARED * d_sae), d_in, generator=generator), dim=1)
    for number in range(count):
        place = folder / "own" / shape / f"seed-{number}"
        if (place / CONFIG).exists():
            continue
        generator = torch.Generator().manual_seed(seed + 1 + number)
        rows = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
        rows[: len(shared)] = shared + NOISE * rows[: len(shared)]
        rows = torch.nn.functional.normalize(rows[torch.randperm(d_sae, generator=generator)], dim=1)
        sae = TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, torch.zeros(d_in), K)
        identity: dict[str, Any] = {
            "model": "model", "corpus": "own", "hook": "resid_pre.0", "init_seed": number, "d_sae": d_sae, "k": K,
            "context": 128, "layout": "packed", "dtype": "float32",
        }  # fmt: skip
        own = {"identity": identity, "weights_sha256": sae.sha256()}
        save_sae(place, sae, {"model_name": "model", "hook_name": "blocks.0.hook_resid_pre", "faithful": own})


def status(field: str) -> int:
    """A line of this process' /proc/self/status, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


class Peaks:
    """The peak of each step above a base, in SAEs' weights."""

    def __init__(self, unit: int) -> None:
        self.unit, self.base = unit, status("VmRSS")
        self.step, self.began = "", time.perf_counter()
        self.most = 0

    def __call__(self, point: Any) -> None:
        """Progress of the study."""
        if point.step != self.step:
            self.ended()
            self.step, self.began = point.step, time.perf_counter()

    def ended(self) -> None:
        """Print a step's peak, and begin anew."""
        peak = status("VmHWM") - self.base
        self.most = max(self.most, peak)
        seconds = time.perf_counter() - self.began
        print(
            f"  till {self.step or 'the first progress'} ended: {peak / self.unit:.2f} SAEs ({seconds:.0f} s)",
            flush=True,
        )
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--saes", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=2, help="matched in full")
    parser.add_argument("--d-sae", type=int, default=18_432)
    parser.add_argument("--d-in", type=int, default=2304)
    args = parser.parse_args()
    model, corpus, saes = (args.folder / name for name in ("model", "corpora/own", "saes"))
    if not model.is_dir():
        write_model(model, args.d_in)
    add = ["corpus", "add", "prose", "--for", str(model), "--tokens", "60k", "--held-out", "40k", "--out", str(corpus)]
    subprocess.run([sys.executable, "-m", "faithful", *add], check=True, stdout=subprocess.DEVNULL)
    write_saes(saes, args.saes, args.d_sae, args.d_in)

    import scipy.optimize
    import scipy.sparse.csgraph  # noqa: F401 (before the base is taken)

    from studies.common.inputs import StudyInput
    from studies.seeds import study
    from studies.seeds.config import SeedsConfig

    print(machine(), f"{torch.get_num_threads()} threads", flush=True)
    some, loaded = study.pairs_of, StudyInput.model.func
    peaks: list[Peaks] = []

    def with_base(found: StudyInput) -> Any:
        model = loaded(found)
        peaks.append(Peaks(8 * args.d_sae * args.d_in))
        return model

    StudyInput.model.func = with_base
    study.pairs_of = lambda saes: some(saes)[: args.pairs]
    resolve = study.resolve_input

    def resolved(config: Any) -> StudyInput:
        found = resolve(config)
        found.truncated  # noqa: B018 (the base is taken when the model is loaded)
        return found

    study.resolve_input = resolved
    config = SeedsConfig((saes,), args.folder / "out", (corpus,), device="cpu", examples=2)
    study.study_seeds(config, lambda point: peaks[0](point))
    peaks[0].ended()
    print(f"{args.saes} SAEs, {args.pairs} pairs, peak {peaks[0].most / peaks[0].unit:.2f} SAEs above the base")


if __name__ == "__main__":
    main()
