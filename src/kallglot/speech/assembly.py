"""Every engine of an installation: what is embedded, the models that are installed, what the operator's file names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kallglot.speech import configured
from kallglot.speech.engineconfig import ConfigError, EngineConfig, check_names, load
from kallglot.speech.orders import KINDS, ChosenKind
from kallglot.speech.registry import EngineRegistry

log = logging.getLogger(__name__)


def assembled(*, recognition_processes: int, models_dir: Path | None, engines: Path | None) -> EngineRegistry:
    """Not started. Raises :class:`kallglot.speech.engineconfig.ConfigError` for a file that cannot be used."""
    config = EngineConfig() if engines is None else load(engines)
    from kallglot.speech.engines.apertium import ApertiumTranslator
    from kallglot.speech.engines.espeak import EspeakSynthesizer
    from kallglot.speech.engines.langdetect import TextLanguageDetector
    from kallglot.speech.engines.moonshine import MoonshineRecognizer

    made: dict[ChosenKind, list[Any]] = {kind: [] for kind in KINDS}
    spoken = _models(made, models_dir, recognition_processes)
    made["recognition"].append(MoonshineRecognizer(processes=recognition_processes))
    made["translation"].append(ApertiumTranslator())
    made["synthesis"].append(EspeakSynthesizer())
    _remote(made, config)
    check_names(config.orders, {kind: [engine.name for engine in some] for kind, some in made.items()})
    return EngineRegistry(
        recognizers=made["recognition"],
        translators=made["translation"],
        synthesizers=made["synthesis"],
        detectors=[TextLanguageDetector()],
        spoken=spoken,
        orders=config.orders,
        remote=[named.name for named in config.engines],
    )


def _models(made: dict[ChosenKind, list[Any]], models_dir: Path | None, processes: int) -> Sequence[Any]:
    """Models come before what is embedded, in the order in which the catalogue prefers them; the answer are those that
    tell languages apart by their sound. A folder of models that cannot be used does not keep a server from what it has
    else."""
    if models_dir is None:
        return ()
    try:
        from kallglot.models.installed import installed

        models: Sequence[Any] = installed(models_dir)
        if not models:
            return ()
        from kallglot.speech.engines.local import engines_of

        local: Any = engines_of(models, processes=processes)
    except Exception:
        log.exception("the models in %s are not used", models_dir)
        return ()
    made["recognition"].extend(local.recognizers)
    made["translation"].extend(local.translators)
    made["synthesis"].extend(local.synthesizers)
    return local.spoken_detectors


def _remote(made: dict[ChosenKind, list[Any]], config: EngineConfig) -> None:
    local = {engine.name for some in made.values() for engine in some}
    for named in config.engines:
        if named.name in local:
            raise ConfigError(f"engines.{named.name}: an engine of this machine is called that; choose another name")
        for kind, engine in configured.make(named).items():
            made[kind].append(engine)
