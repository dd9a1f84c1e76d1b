"""Measures how far the maps of a model can be trusted, on scans held out from training."""

from datetime import UTC, datetime

import keras
import numpy as np

from vcam_client.errors import ConfigError
from vcam_client.spec import ModelSpec
from vcam_training.data.dataset import Report, Split
from vcam_training.evaluation.calibration import Fitted, fit
from vcam_training.evaluation.reliability import reliability
from vcam_training.evaluation.roles import task_of
from vcam_training.learning.pipeline import plain_batches
from vcam_training.task import Task
from vcam_training.trust.cascade import MapsUnderTest, cascade, stages, weighted_layers
from vcam_training.trust.cases import Cases, negative_cases, positive_cases, refuse_regressions
from vcam_training.trust.checks import checks, depends_on_weights, summary
from vcam_training.trust.controls import edge_maps, noisy_maps
from vcam_training.trust.examples import examples
from vcam_training.trust.fidelity import FRACTIONS, fidelity
from vcam_training.trust.figure import Curve
from vcam_training.trust.figures import (
    CAM,
    EDGES,
    NOISY,
    cascade_curves,
    cascade_figures,
    edge_figure,
    fidelity_figures,
    localisation_figures,
    silence_figures,
    stability_figures,
)
from vcam_training.trust.levels import with_levels
from vcam_training.trust.localising import PLACED, localise, thresholds
from vcam_training.trust.progress import Progress
from vcam_training.trust.report import TrustReport
from vcam_training.trust.silence import without_evidence
from vcam_training.trust.similarity import rank_correlations
from vcam_training.trust.stability import NOISE_SHARES, stability
from vcam_training.trust.subject import Subject

SAMPLES = 32
"""Scans for what takes many passes through the model, unless the caller says otherwise."""
SEEDS = 5
"""How often the weights are randomised."""
_BATCH = 8
"""Scans whose scores are computed at once."""
_EMPTY_SCANS = 12
"""Scans without an object that are looked at for objects that hiding paints."""


def measure(
    model: keras.Model,
    spec: ModelSpec,
    validation: Split,
    test: Split,
    *,
    samples: int = SAMPLES,
    seeds: int = SEEDS,
    seed: int = 0,
    report: Report = lambda line: None,
) -> TrustReport:
    """Tests the default explanation of a model; the same seed gives the same figures.

    Args:
        model: a training model, float32 [B, *grid, 1] in physical values to logits.
        spec: its model spec.
        validation: what levels and thresholds are fixed on.
        test: held-out scans, looked at once.
        samples: at most so many scans for what takes many passes.
        seeds: how often the weights are randomised.
        seed: of all that is drawn.
        report: is told what happens, and how long it will take.

    Raises:
        ConfigError: no scans to explain, samples or seeds below what a test needs, or a
            regression.
    """
    if samples < 2 or seeds < 1:
        raise ConfigError(
            f"Expected at least 2 samples and 1 seed, received {samples} and {seeds}. "
            "Leave them out for the defaults."
        )
    refuse_regressions(spec)
    report("Levels of the maps on validation scans")
    spec = with_levels(model, spec, validation)
    subject = Subject(model, spec, fitted=_fitted(model, validation))
    classes = len(spec.labels)
    cases = positive_cases(test, classes)
    if not len(cases):
        raise ConfigError(
            "Expected held-out scans that show a class or finding, found none. "
            "Give a test split with such scans."
        )
    report(f"Maps of {len(cases)} held-out scans")
    logits = subject.logits(test.volumes)
    maps = subject.maps(cases.volumes, cases.classes)
    found = subject.answers(logits[cases.numbers], cases.classes) == cases.classes
    silent = without_evidence(maps, subject.explanation)
    absent = negative_cases(test, classes)
    silent_absent = without_evidence(
        subject.maps(absent.volumes, absent.classes), subject.explanation
    )

    figures = []
    missed, quality = np.zeros(len(cases), bool), maps.reshape(len(maps), -1).max(axis=1)
    has_object = cases.masks.any(axis=tuple(range(1, cases.masks.ndim)))
    cuts = _cuts(subject, validation, classes) if has_object.any() else None
    if cuts is not None:
        located = localise(
            cases.chosen(has_object),
            maps[has_object],
            subject.layer,
            cuts={**cuts, PLACED: subject.explanation.threshold or cuts[PLACED]},
            progress=Progress(report, "Comparing maps with masks", int(has_object.sum())),
        )
        figures += localisation_figures(located)
        quality = np.full(len(cases), np.inf)
        missed[has_object], quality[has_object] = located.distance > 1, located.dice

    few = cases.sample(samples, seed)
    few_maps = maps[np.searchsorted(cases.numbers, few.numbers)]
    curves = fidelity(
        subject,
        few,
        few_maps,
        seed=seed,
        progress=Progress(report, "Deleting and inserting what is marked", len(few)),
    )
    figures += fidelity_figures(curves)

    edges = edge_maps(few.volumes, subject.layer, spec)
    kinds: dict[str, MapsUnderTest] = {
        CAM: lambda cams, rng: cams,
        NOISY: noisy_maps,
        EDGES: lambda cams, rng: edges,
    }
    drawn = tuple(int(s) for s in np.random.default_rng(seed).integers(2**31, size=seeds))
    steps = len(stages(len(weighted_layers(model)))) * seeds
    randomised = cascade(
        subject,
        few,
        kinds,
        seeds=drawn,
        progress=Progress(report, "Randomising the weights", steps),
    )
    weight_curves = cascade_curves(randomised)
    figures += cascade_figures(randomised, weight_curves)
    figures.append(edge_figure(rank_correlations(few_maps, edges)))

    calm = stability(
        subject,
        few,
        few_maps,
        seed=seed,
        progress=Progress(
            report, "Noise and small shifts", len(NOISE_SHARES) + len(spec.grid.shape)
        ),
    )
    figures += stability_figures(calm)
    figures += silence_figures(silent[found], silent_absent)

    looks_alike = curves.looks_alike or (
        cuts is not None and _paints_objects(subject, absent, seed)
    )
    answers = checks(figures, weight_curves, looks_alike=looks_alike)
    return TrustReport(
        spec=spec,
        explanation=subject.explanation,
        scans=len(cases),
        samples=len(few),
        seeds=drawn,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        summary=summary(figures, answers, len(cases)),
        checks=answers,
        depends_on_weights=depends_on_weights(weight_curves),
        figures=tuple(figures),
        fractions=tuple(map(float, FRACTIONS)),
        score_curves=(
            Curve.of_scans("deletion", curves.deletion),
            Curve.of_scans("deletion, shuffled maps", curves.control_deletion.mean(axis=1)),
            Curve.of_scans("insertion", curves.insertion),
            Curve.of_scans("insertion, shuffled maps", curves.control_insertion.mean(axis=1)),
        ),
        layers=randomised.layers,
        weight_curves=tuple(weight_curves.values()),
        reliability=reliability(
            subject.scores_of(logits).astype(np.float64), test.labels, test.known
        ),
        examples=examples(
            subject,
            cases,
            maps,
            found=found,
            silent=silent,
            quality=quality,
            missed=missed,
            seed=seed,
        ),
    )


def _fitted(model: keras.Model, validation: Split) -> Fitted | None:
    """Where each finding is decided, by validation; None of exclusive classes."""
    if task_of(validation) is not Task.FINDINGS:
        return None
    logits = model.predict(plain_batches(validation, _BATCH), verbose=0)
    return fit(logits, validation.labels, validation.known)


def _paints_objects(subject: Subject, absent: Cases, seed: int) -> bool:
    """Whether hiding parts of scans without any object makes the model see the class there."""
    empty = absent.chosen(~absent.masks.any(axis=tuple(range(1, absent.masks.ndim))))
    few = empty.sample(_EMPTY_SCANS, seed)
    if not len(few):
        return False
    maps = subject.maps(few.volumes, few.classes)
    return fidelity(subject, few, maps, seed=seed, shuffles=1).looks_alike


def _cuts(subject: Subject, validation: Split, classes: int) -> dict[str, float] | None:
    """Thresholds of maps in their place and laid out otherwise, from validation.

    Of scans that are rightly classified; of all that have an object if none is.
    """
    cases: Cases = positive_cases(validation, classes)
    answers = subject.answers(subject.logits(cases.volumes), cases.classes)
    right = answers == cases.classes
    if right.any():
        cases = cases.chosen(right)
    return thresholds(cases, subject.maps(cases.volumes, cases.classes), subject.layer)
