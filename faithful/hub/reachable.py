"""Whether the Hub can be reached, asked once and quickly."""


def hub_problem(seconds: float = 5.0) -> str | None:
    """Why the Hub cannot be used right now, in a few words; None when it answers.

    Any answer counts, also an error status: then the real call says what is wrong.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "offline mode is on"
    try:
        get_session().head(constants.ENDPOINT, timeout=seconds)
    except Exception as error:  # each network stack has its own type for no route, no name and time-out
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return None
