from pathlib import Path

from resnet_ablations.report import contents
from resnet_ablations.report.cells.folder import Results
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.results.sweeps import SweepPlan


def sweep_report(plan: SweepPlan, found: Results, results: Path) -> SweepReport:
    data = read_report_data(results)
    (sweep,) = (sweep for sweep in data.sweeps if sweep.plan.name == plan.name)
    return contents.sweep_report(sweep, data, found)
