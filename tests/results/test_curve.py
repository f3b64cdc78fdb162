from contextlib import closing
from pathlib import Path

import pytest

from resnet_ablations.results.curve import HEADER, CurveFile, CurveReader, CurveRow, RowSchedule


def test_a_curve(tmp_path: Path) -> None:
    """Six significant digits, an empty place where nothing was evaluated; a row is on disk when it is added."""
    path = tmp_path / "curve.csv"
    path.write_text("of an earlier attempt\n" * 50)
    with CurveFile(path) as curve:
        curve.append(CurveRow(100, 0.1, 1.23456789, 50.0, None, None))
        assert path.read_text().endswith("100,0.1,1.23457,50,,\n")
        curve.append(CurveRow(200, 0.01, 1e-7, 0.0, 0.5, 100 / 3))
        curve.append(CurveRow(1_000_000, 0.001, float("nan"), 90.0, None, None))
    assert path.read_bytes().decode().split("\n") == [
        "iteration,learning_rate,train_loss,train_error,test_loss,test_error",
        "100,0.1,1.23457,50,,",
        "200,0.01,1e-07,0,0.5,33.3333",
        "1000000,0.001,nan,90,,",
        "",
    ]


def test_a_curve_goes_on_from_its_beginning_whatever_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(HEADER + "100,0.1,9,9,,\n100,0.1,9,9,,\n200,0.1,")
    begun = HEADER + "100,0.1,1.5,50,,\n"
    with CurveFile(path, begun) as curve:
        assert path.read_text() == begun
        curve.append(CurveRow(200, 0.1, 1.25, 40.0, None, None))
    assert path.read_text() == curve.text == begun + "200,0.1,1.25,40,,\n"


def test_a_curve_is_read_while_it_grows(tmp_path: Path) -> None:
    """Each row is read once, an incomplete line only when it is complete, and no row of another attempt."""
    path = tmp_path / "curve.csv"
    with CurveFile(path, HEADER + "100,0.1,1.5,50,,\n") as curve:
        reader = CurveReader(path)
        assert reader.rows() == [CurveRow(100, 0.1, 1.5, 50.0, None, None)]
        curve.append(CurveRow(200, 0.1, 1.23456789, 40.0, 0.5, 100 / 3))
        assert reader.rows() == [CurveRow(200, 0.1, 1.23457, 40.0, 0.5, 33.3333)]
        assert reader.rows() == []
    with path.open("a") as file:
        file.write("300,0.1,1,3")
        file.flush()
        assert reader.rows() == []
        file.write("0,,\n")
    assert reader.rows() == [CurveRow(300, 0.1, 1.0, 30.0, None, None)]
    CurveFile(path).__exit__(None, None, None)
    assert reader.rows() == []
    reader.close()


@pytest.mark.parametrize("line", ["100,0.1", "a,b,c,d,e,f", "1,2,3,4,5,6,7"])
def test_a_file_that_is_no_curve_is_a_value_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "curve.csv").write_text(f"{HEADER}{line}\n")
    with closing(CurveReader(tmp_path / "curve.csv")) as reader, pytest.raises(ValueError, match=r".+"):
        reader.rows()


def test_the_rows_of_a_curve_follow_from_the_schedule() -> None:
    """`schedule=small` logs every 50 iterations and evaluates every 390."""
    schedule = RowSchedule(iterations=800, log_every=50, evaluate_every=390)
    rows = [schedule.next_row(0)]
    while rows[-1] < 800:
        rows.append(schedule.next_row(rows[-1]))
    assert rows == [*range(50, 390, 50), 390, *range(400, 780, 50), 780, 800]
