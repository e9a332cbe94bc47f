"""The comparison, python -m bench: its smallest task through the real processes, the proof of equal work,
targets, cliffs, the report.
"""

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "bench").exists():
    pytest.skip("there is no bench/ beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: nnfast is the one that is installed

from bench import __main__ as command  # noqa: E402
from bench import ratios, searches, session, work  # noqa: E402
from bench.cliff_rules import compared, judge  # noqa: E402
from bench.figures import FIGURES  # noqa: E402
from bench.parts import (  # noqa: E402
    PARTS,
    cliffs,
    estimators,
    footprint,
    grid,
    prediction,
    threads,
    training,
)
from bench.parts import rows as rows_part  # noqa: E402
from bench.peers import TRAINERS, trainer  # noqa: E402
from bench.peers import tables as table_peers  # noqa: E402
from bench.report import SECTIONS, rounds_taken, write_report  # noqa: E402
from bench.session import Session  # noqa: E402
from bench.shapes import SHAPES, Shape  # noqa: E402
from bench.sides import PACKAGES, Failed, Side, training_sides  # noqa: E402
from nnfast.tables import bundled  # noqa: E402

TINY = {2: Shape("two", 5, (8,), 2, 16, 4), 3: Shape("three", 6, (8, 9), 3, 16, 4)}
PYTORCH = [pytest.param(library, marks=pytest.mark.torch) for library in ("PyTorch", "torch.compile")]
JAX = pytest.param(
    "JAX", marks=pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
)


@pytest.fixture(scope="module")
def rows():
    with Session(n_threads=1, rounds=1) as run:
        run.open(
            [Side(f"{library} float64", library, "float64", 1) for library in ("nnfast", "scikit-learn")]
        )
        return training.compare(run, TINY[3], epochs=2, whole=True)


def test_the_smallest_comparison(rows):
    assert [row["side"] for row in rows] == ["nnfast float64", "scikit-learn float64"]
    for row in rows:
        assert len(row["us"]) == len(row["peak"]) == 1 and row["us"][0] > 0 and row["peak"][0] > 0
        assert len(row["losses"]) == 2
    assert rows[0]["losses"] == pytest.approx(rows[1]["losses"], rel=1e-12)
    pools = rows[1]["pools"]
    assert pools and {pool["num_threads"] for pool in pools} == {1}  # the side's
    if "openblas" in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        assert any(pool["internal_api"] == "openblas" and pool["architecture"] for pool in pools)


@pytest.mark.parametrize("n_classes", TINY)
@pytest.mark.parametrize("library", [PYTORCH[0], JAX])
def test_peers_do_the_same_work(library, n_classes):
    problem = work.Problem(TINY[n_classes], "float32")
    reference = trainer("scikit-learn")(work.Problem(TINY[n_classes], "float64"), 1)
    peer = trainer(library)(problem, 1)
    expected, losses = (each.ready(3)() for each in (reference, peer))
    assert work.check_losses(library, losses, expected, "float32") < 1e-4
    X = np.random.default_rng(0).standard_normal((7, TINY[n_classes].n_features))
    probabilities = (
        np.asarray(each.predict(each.rows(X))).reshape(7, -1)[:, -1] for each in (reference, peer)
    )
    np.testing.assert_allclose(*probabilities, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate_init": 0.002},
        {"batch_size": 32},
        {"hidden_layer_sizes": (8,)},
        {"random_state": 1},
        {"alpha": 1.0},
    ],
)
def test_unequal_work_fails(change, monkeypatch):
    problem = work.Problem(TINY[3], "float64")
    expected = trainer("scikit-learn")(problem, 1).ready(2)()
    other = work.Problem.estimator
    monkeypatch.setattr(
        work.Problem, "estimator", lambda *arguments, **words: other(*arguments, **words).set_params(**change)
    )
    losses = trainer("scikit-learn")(problem, 1).ready(2)()
    for dtype in work.TOLERANCES:
        with pytest.raises(
            work.UnequalWork, match=r"impostor: training loss of epoch 2, .* apart, more than"
        ):
            work.check_losses("impostor", losses, expected, dtype)


@pytest.mark.parametrize("losses", [[1.0, np.nan], [1.0, np.inf]])
def test_losses_that_are_no_numbers_are_not_equal(losses):
    with pytest.raises(work.UnequalWork):
        work.check_losses("impostor", losses, [1.0, 0.5], "float32")


def test_what_fails_in_a_process_is_told():
    with Session(n_threads=1, rounds=1) as run:
        run.open([Side("nnfast", "nnfast", "float32", 1)])
        with pytest.raises(Failed, match="no_such_function"):
            run.processes["nnfast"].call("bench.parts.training", "no_such_function")
        assert run.attempt("nnfast", "bench.parts.training", "no_such_function") is None
    assert len(run.failures) == 1 and "no_such_function" in run.failures[0] and not run.notes


def test_an_absent_library_is_noted(monkeypatch):
    monkeypatch.setitem(PACKAGES, "PyTorch", "no-such-package")
    with Session(n_threads=1, rounds=1) as run:
        run.open([Side("PyTorch", "PyTorch", "float32", 1)])
        assert not run.processes
    assert run.notes == ["PyTorch: no-such-package is not installed"]


def row_of(shape, group, us):
    return {
        "point": str(shape),
        "shape": asdict(shape),
        "group": group,
        "side": group,
        "us": us,
        "peak": [100.0] * len(us),
        "flops": shape.flops_a_step,
    }


@pytest.mark.parametrize(("peer", "met"), [(29.9, False), (30.1, True)])
def test_targets(peer, met):
    rows = [
        row_of(SHAPES["xs"], "nnfast float32", [10.0, 10.0, 1.0]),
        row_of(SHAPES["xs"], "JAX", [peer, peer, 500.0]),
        row_of(SHAPES["xs"], "JAX", [80.0, 80.0, 80.0]),
    ]
    (verdict,) = ratios.verdicts(rows)
    assert verdict["target"].words == "JAX, up to 100 units" and verdict["met"] is met
    # the median of the rounds' ratios, against the peer's faster setting
    assert verdict["least"] == pytest.approx(peer / 10)


def test_a_median_is_a_target_too():
    rows = [
        row
        for name, peer in (("xs", 60.0), ("s", 55.0), ("m", 300.0))
        for row in (
            row_of(SHAPES[name], "nnfast float64", [10.0]),
            row_of(SHAPES[name], "scikit-learn float64", [peer]),
        )
    ]
    assert [verdict["met"] for verdict in ratios.verdicts(rows)] == [True]
    rows[1]["us"] = [50.0]
    assert [verdict["met"] for verdict in ratios.verdicts(rows)] == [False]
    rows[1]["us"], rows[5]["us"] = [60.0], [29.0]
    assert [verdict["met"] for verdict in ratios.verdicts(rows)] == [False]


def test_scikit_learn_is_judged_as_users_run_it():
    plain = Side("plain", "scikit-learn", "float64", 2)
    tuned = Side("tuned", "scikit-learn", "float64", 2, {"OPENBLAS_CORETYPE": "SkylakeX"})
    rows = [
        row_of(SHAPES["s"], group, [us])
        for group, us in (("nnfast float32", 10.0), (plain.group, 100.0), (tuned.group, 45.0))
    ]
    assert [verdict["least"] for verdict in ratios.verdicts(rows)] == [10.0]
    assert list(ratios.points(rows)[str(SHAPES["s"])]) == [
        "nnfast float32",
        "scikit-learn float64",
        "scikit-learn float64, SkylakeX",
    ]


def cliff_rows(us):
    return [
        {
            "axis": "width",
            "dtype": "float32",
            "threads": 1,
            "value": value,
            "round": [0, 1],
            "us": [us(value), 3 * us(value)],
            "peak": [100.0, 100.0 / 3],
            "company": [0.0, 0.0],
            "flops": value * 1e3,
        }
        for value in (15, 16, 17, 24, 31, 32, 33, 48)
    ]


@pytest.mark.parametrize(
    ("us", "flags"),
    [
        (lambda value: value, {}),
        (lambda value: -(-value // 16) * 16, {17: ["neighbours"], 33: ["neighbours"]}),  # padded to vectors
        (lambda value: value * (3 if value == 17 else 1), {17: ["neighbours", "multiple"]}),
        (
            lambda value: 40 if value == 31 else -(-value // 16) * 16,
            {17: ["neighbours"], 31: ["multiple"], 33: ["neighbours"]},
        ),
    ],
)
def test_cliffs(us, flags):
    judged = judge(cliff_rows(us))
    assert {row["value"]: row["flags"] for row in judged if row["flags"]} == flags
    assert set(flags) <= set(compared(judged))
    assert judged[0]["percent"] == pytest.approx(100 * 15e3 / us(15) / 1e3 / 100)


def test_the_tables_of_names_agree():
    assert set(PARTS) == set(SECTIONS)
    assert set(TRAINERS) < set(PACKAGES)
    assert set(footprint.IMPORTS) | {"nnfast compiled", "torch.compile"} == set(PACKAGES)
    assert {side.framework for side in training_sides(2)} | {"nnfast compiled"} == set(TRAINERS)
    assert len({side.name for side in training_sides(2)}) == len(training_sides(2))


def test_the_grid_covers_its_axes():
    shapes = [shape for _, _, shape in grid.points(quick=False)]
    assert {len(shape.hidden) for shape in shapes} == set(grid.AXES["depth"])
    assert {shape.hidden[0] for shape in shapes} == set(grid.AXES["width"])
    for axis, attribute in (
        ("batch", "batch_size"),
        ("classes", "n_classes"),
        ("features", "n_features"),
        ("density", "density"),
    ):
        assert {getattr(shape, attribute) for shape in shapes} == set(grid.AXES[axis])
    for shape in shapes:
        assert shape.batches * shape.batch_size >= shape.n_classes


def test_unequal_work_fails_the_run_at_its_end(rows, tmp_path, monkeypatch):
    def run(run):
        difference = run.check(work.check_losses, "impostor", [1.0, 0.6], [1.0, 0.5], "float32")
        return [row | {"difference": difference} for row in rows]

    monkeypatch.setattr(training, "run", run)
    with pytest.raises(SystemExit, match="^not the same work: impostor"):
        command.main(["training", "--out", str(tmp_path), "--threads", "1"])
    report = (tmp_path / "results.md").read_text()
    assert "**Not the same work:** impostor" in report and "**too far**" in report


def test_the_report(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "Session", lambda *arguments: Session(1, 1, quick=True))
    monkeypatch.setattr(training, "run", lambda session: rows)
    command.main(["training", "--out", str(tmp_path)])
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["parts"]["training"] == json.loads(json.dumps(rows))
    assert saved["runs"]["training"]["facts"]["cpu"]
    first = (tmp_path / "results.md").read_text()
    assert "; 1 round, " in first
    assert "scikit-learn, default against default" in first and "| nnfast float64 |" in first
    (tmp_path / "results.md").unlink()
    write_report(tmp_path)
    assert (tmp_path / "results.md").read_text() == first


@pytest.fixture
def one_try(monkeypatch):
    monkeypatch.setattr(session, "QUIET", 0.0)
    monkeypatch.setattr(session, "DISTURBED", 1.0)


@pytest.fixture
def tiny_parts(monkeypatch, one_try):
    for module in (training, prediction, threads):
        monkeypatch.setattr(module, "SHAPES", dict.fromkeys("sl", TINY[3]))
    monkeypatch.setattr(rows_part, "SHAPES", {"m": TINY[2]})
    monkeypatch.setattr(rows_part, "ROWS", (32, 64))
    monkeypatch.setattr(prediction, "ROWS", (1, 10))
    monkeypatch.setattr(cliffs, "AXES", {"width": (15, 16, 17)})
    monkeypatch.setattr(cliffs, "APART", 0)
    monkeypatch.setattr(grid, "AXES", {"width": (8, 16), "density": (1.0, 0.5, 0.2)})
    monkeypatch.setattr(
        grid,
        "CENTRES",
        ({"width": 8, "depth": 1, "batch": 16, "classes": 2, "features": 9, "density": 1.0},) * 2,
    )
    monkeypatch.setattr(grid, "FLOPS", 1e6)
    monkeypatch.setattr(estimators, "table_names", lambda: ["breast cancer"])
    monkeypatch.setattr(footprint, "IMPORTS", {"LightGBM": "import no_such_module"})


def run_part(part, library, folder):
    """The part's rows and what is noted about it."""
    command.main(
        [part, "--quick", "--rounds", "1", "--threads", "1", "--libraries", library, "--out", str(folder)]
    )
    results = json.loads((folder / "results.json").read_text())
    assert not results["runs"][part]["unequal"] and not results["runs"][part]["failures"]
    assert SECTIONS[part][0] in (folder / "results.md").read_text()
    return results["parts"][part], results["runs"][part]["notes"]


@pytest.mark.parametrize(
    ("samples", "words"),
    [((), "0 rounds"), ((1,), "1 round"), ((2, 2), "2 rounds"), ((5, 2, 3), "2 to 5 rounds")],
)
@pytest.mark.parametrize("name", ["us", "import_seconds"])
def test_the_report_counts_the_rounds_that_were_taken(name, samples, words):
    assert rounds_taken([{name: [1.0] * count} for count in samples]) == words


@pytest.mark.slow
@pytest.mark.parametrize("part", ["grid", "cliffs", "threads", "rows", "prediction"])
def test_parts(part, tiny_parts, tmp_path):
    rows, notes = run_part(part, "nnfast", tmp_path)
    assert rows and not notes
    if importlib.util.find_spec("matplotlib"):
        drawn = {path.stem for path in tmp_path.glob("*.png")}
        assert drawn <= set(FIGURES.get(part, ())) and bool(drawn) == (part in FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["training", "grid", "prediction"])
def test_parts_with_a_framework_alone(part, tiny_parts, tmp_path):
    pytest.importorskip("jax")
    rows, notes = run_part(part, "JAX", tmp_path)
    assert {row["side"] for row in rows} == {"JAX, 1 thread"}
    assert notes == (["sparse tables: only nnfast and scikit-learn train on them"] if part == "grid" else [])


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_parts_with_a_library_that_few_have(part, tiny_parts, tmp_path):
    pytest.importorskip("lightgbm")
    rows, notes = run_part(part, "LightGBM", tmp_path)
    if part == "footprint":
        assert [row["library"] for row in rows] == ["Python alone"] and "LightGBM: its import failed" in notes
    elif part == "estimators":
        assert {(row["point"], row["side"]) for row in rows} == {("fit of breast cancer", "LightGBM")}
        assert len(notes) == 4 and all(note.endswith(": not measured") for note in notes)
    else:
        assert not rows and notes[-1] == "nothing was measured: none of the libraries takes part"


def test_a_side_that_fails_is_left_out(monkeypatch, one_try):
    monkeypatch.setattr(prediction, "ROWS", (1,))
    with Session(n_threads=1, rounds=1) as run:
        run.open(
            [
                Side("first", "nnfast", "float16", 1),
                Side("second", "nnfast", "float32", 1),
                Side("third", "nnfast", "float64", 1),
            ]
        )
        for rows in (
            training.compare(run, TINY[3], epochs=1, whole=True),
            prediction.measure(run, TINY[3]),
            estimators.measure(run, "scores", "cross_validate", ("nnfast",), epochs=1),
        ):
            assert [row["side"] for row in rows] == ["second", "third"]
        # of training, twice, and cross_validate
        assert len(run.failures) == 3 and all(failure.startswith("first: ") for failure in run.failures)
        # Of a process that has ended, and of one that fails after others have had their turn.
        run.processes["second"].call(
            "bench.parts.training",
            "open_trainer",
            library="nnfast",
            shape=TINY[3],
            dtype="float32",
            n_threads=1,
        )
        with pytest.raises(Failed, match="ended with status 3"):
            run.processes["third"].call("os", "_exit", status=3)
        samples = run.in_turns(
            "bench.parts.training", "sample", {name: {"epochs": 1} for name in run.processes}, rounds=2
        )
        assert list(samples) == ["second"] and len(samples["second"]) == 2
        assert (
            "third: sample failed: the process of third ended with status 3" in run.failures and not run.notes
        )


def test_failures_fail_the_run_at_its_end(tmp_path, monkeypatch):
    def run(run):
        run.open([Side("nnfast", "nnfast", "float32", 1)])
        return [{"us": [1.0]}] if run.attempt("nnfast", "os", "abort_with_words") else []

    monkeypatch.setattr(training, "run", run)
    with pytest.raises(SystemExit, match="^nnfast: abort_with_words failed: AttributeError"):
        command.main(["training", "--out", str(tmp_path), "--threads", "1"])
    assert "**Failed:** nnfast: abort_with_words failed" in (tmp_path / "results.md").read_text()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("library", ["nnfast", "scikit-learn"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_estimators_of_tables(library, task):
    table = next(table for table in bundled() if table.task == task)
    estimator = table_peers.estimator(library, "float32", table, 2)
    assert estimator.fit(table.X_train[:400], table.y_train[:400]).hidden_layer_sizes == table_peers.HIDDEN


def test_the_peak_is_that_of_as_many_threads_as_the_side_has(monkeypatch, one_try):
    asked = []
    monkeypatch.setattr(
        session, "peak_gflops", lambda dtype, n_threads, rounds: asked.append((dtype, n_threads)) or 1.0
    )
    with Session(n_threads=3, rounds=1) as run:
        run.open([Side("one", "nnfast", "float32", 1), Side("as users do", "nnfast", "float64")])
        for name in run.processes:
            run.attempt(
                name,
                "bench.parts.training",
                "open_trainer",
                library="nnfast",
                shape=TINY[2],
                dtype="float32",
                n_threads=1,
            )
        run.in_turns("bench.parts.training", "sample", {name: {"epochs": 1} for name in run.processes})
    assert set(asked) == {("float32", 1), ("float64", 3)}


@pytest.mark.parametrize(
    "arguments", [["no-such-part"], ["report"], ["--threads", "0"], ["--libraries", "numpy"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(("whole", "seconds"), [(True, 0.2 + 0.1 * 3), (False, 0.1 * 3)])
@pytest.mark.parametrize("sets_up", [True, False])
def test_steps_are_timed_without_what_a_fit_sets_up(monkeypatch, sets_up, whole, seconds):
    clock = [0.0]

    class Trainer:
        def ready(self, epochs):
            def train():
                clock[0] += 0.2 * sets_up + 0.1 * epochs
                return list(range(epochs))

            return train

    Trainer.sets_up = sets_up
    monkeypatch.setattr(training, "_trainer", Trainer())
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock[0])
    sample = training.sample(3, whole)
    assert sample["losses"] == [0, 1, 2]
    assert sample["seconds"] == pytest.approx(seconds if sets_up else 0.3)


@pytest.mark.parametrize("library", [*PYTORCH, JAX])
def test_peers_make_nothing_ready_first(library):
    assert not trainer(library).sets_up


@pytest.mark.parametrize(
    "library", [each for each in TRAINERS if each not in ("PyTorch", "torch.compile", "JAX")]
)
def test_what_was_made_ready_first_is_what_it_was(library):
    peer = trainer(library)(work.Problem(TINY[2], "float64"), 1)
    assert peer.sets_up
    runs = [peer.ready(epochs) for epochs in (1, 3)]
    assert [len(run()) for run in (*runs, runs[0])] == [1, 3, 1]


@pytest.mark.parametrize("library", ["nnfast", "scikit-learn"])
def test_steps_and_whole_fits(library):
    training.open_trainer(library, Shape("", 50, (64, 64), 2, 32, 100), "float64", 1)
    whole, steps = (min(training.sample(2, whole)["seconds"] for _ in range(5)) for whole in (True, False))
    assert 0.2 * whole < steps < 1.5 * whole


# ------------------------------------------------------------------------------------------------------------
# Searches by the second


def test_a_candidate_counts_by_its_last_rung():
    notes = [
        {"at": at, "candidate": candidate, "max_iter": max_iter, "score": score}
        for at, candidate, max_iter, score in [
            (99.0, "a", 1, 0.9),  # while the processes were started
            *((101.0 + fold, "a", 1, 0.1 * fold) for fold in range(3)),
            *((104.0, "b", 1, 0.6) for _ in range(3)),
            *((105.0 + fold, "a", 3, 0.5) for fold in range(3)),
            *((108.0 + fold, "b", 3, 0.9) for fold in range(3)),  # whose last fold is late
        ]
    ]
    assert searches.scored(notes, 100.0, 9.5) == [[4.0, pytest.approx(0.6)], [7.0, 0.5]]


def test_the_best_score_by_the_second():
    run = [[1.0, 0.5], [2.0, 0.4], [3.0, 0.7]]
    np.testing.assert_array_equal(searches.best_by(run, [0.5, 1.0, 2.5, 9.0]), [np.nan, 0.5, 0.5, 0.7])
    np.testing.assert_array_equal(searches.best_by([], [1.0]), [np.nan])


def test_the_report_of_searches(tmp_path):
    pytest.importorskip("matplotlib")
    runs = {
        name: [[[1.0 + i, 0.5], [4.0, 0.7 - 0.1 * i]] for _ in range(2)]
        for i, name in enumerate(searches.CONTENDERS)
    }
    runs |= dict.fromkeys(searches.SCIKIT_LEARNS, [[[1.0, 0.3], [5.0, 0.65]], [[1.0, 0.3]]])
    results = {"seconds": 6.0, "tables": {"letter": runs}}
    _, _, first, _, second, *_ = searches.rows(results)
    assert first == "| letter | nnfast Hyperband | 0.5000 | 0.7000 | 2 | 2.5 s |"
    assert second == "| letter | nnfast Bayes | nan | 0.5000 | 2 | never |"
    searches.draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
