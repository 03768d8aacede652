"""Registering the models with lm-eval, which scans no entry points (0.4.13)."""

from __future__ import annotations

MODELS: dict[str, str] = {
    "hf-audiolm": "voxemo_tasks.backends.hf:HfAudioLM",
    "api-audiolm": "voxemo_tasks.backends.api:ApiAudioLM",
    "replay-audiolm": "voxemo_tasks.backends.replay:ReplayAudioLM",
    "scripted-audiolm": "voxemo_tasks.backends.scripted:ScriptedAudioLM",
    "vllm-audiolm": "voxemo_tasks.backends.vllm:VllmAudioLM",
    "scripted-judge": "voxemo_tasks.backends.scripted_judge:ScriptedJudge",
}
"""lm-eval model name → class, named and not imported; the entry points say the same."""


def register_models() -> None:
    """Make the models known to lm-eval; may be called any number of times."""
    # Imported first on purpose: lm-eval fills its own registry only while it is empty, so that
    # registering before it would make every built-in model vanish.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    for name, target in MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)


def models() -> tuple[str, ...]:
    """Names of the models; what ``register.yaml`` refers to, so that loading it registers them."""
    return tuple(MODELS)
