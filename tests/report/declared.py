"""Experiments of every shape, without the fields that all of them share."""

PLACEMENTS = """
headings: [case, Fig.]
baseline: first_row
columns:
  - {id: r110, heading: ResNet-110, overrides: [network.depth=110]}
  - {id: r164, heading: ResNet-164, overrides: [network.depth=164, "network.kernels=[1,3,1]"]}
rows:
  - id: original
    labels: [original, 4a]
    configurations: [[activation=original]]
    cells: {r110: {printed: 6.61, curve: fig6left__original}, r164: {printed: 5.93, curve: fig6right__original}}
  - id: bn
    labels: [BN after addition, 4b]
    configurations: [[activation=bn]]
    cells: {r110: {printed: 8.17, curve: fig6left__bn}, r164: {printed: 6.50}}
  - id: pre
    labels: [full pre-activation, 4e]
    configurations: [[activation=pre]]
    cells: {r110: {printed: 6.37}, r164: {printed: 5.46, curve: fig6right__pre}}
figures:
  - {id: fig6left, title: ResNet-110, cells: [original/r110, bn/r110]}
  - {id: fig6right, title: ResNet-164, cells: [original/r164, pre/r164]}
"""
"""Two columns; the baseline of each is its first row."""

UNITS = """
headings: [data, network]
baseline: first_column
columns:
  - {id: old, heading: baseline unit, overrides: [activation=original]}
  - {id: new, heading: pre-activation unit, overrides: [activation=pre]}
rows:
  - id: c10_110
    labels: [CIFAR-10, ResNet-110]
    configurations: [[data=CIFAR10, network.depth=110]]
    cells: {old: {printed: 6.61}, new: {printed: 6.37}}
  - id: c10_1layer
    labels: [CIFAR-10, ResNet-110 (1layer)]
    configurations: [[data=CIFAR10, network.depth=110, "network.kernels=[3]"]]
    cells: {old: {printed: 9.90}, new: {printed: 8.91}}
  - id: c100_1001
    labels: [CIFAR-100, ResNet-1001]
    configurations: [[data=CIFAR100, network.depth=1001]]
    cells: {old: {printed: 27.82}, new: {printed: 22.71}}
figures:
  - {id: fig1, title: ResNet-1001, cells: [c100_1001/old, c100_1001/new]}
"""
"""Rows whose baseline is their first column."""

METHODS = """
headings: [method]
columns:
  - {id: c10, heading: CIFAR-10, overrides: [data=CIFAR10]}
  - {id: c100, heading: CIFAR-100, overrides: [data=CIFAR100]}
rows:
  - {id: nin, labels: [NIN], cells: {c10: {printed: 8.81}, c100: {printed: 35.68}}}
  - {id: lsuv, labels: [FitResNet-LSUV], cells: {c10: {printed: 5.84}}, remark: no other}
  - id: r1001
    labels: [ResNet-1001]
    configurations: [[network.depth=1001]]
    cells: {c10: {printed: 4.92}, c100: {printed: 22.71}}
  - id: r164
    labels: [ResNet-164]
    configurations: [[network.depth=164]]
    cells: {c100: {printed: 25.16}}
"""
"""Rows of other authors, and empty cells."""

CROPS = """
headings: [method, test crop]
baseline: first_row
overrides: [data=Generated]
columns:
  - {id: top1, heading: top-1, overrides: [data=Generated]}
  - {id: top5, heading: top-5, overrides: [data=Generated], metric: top5_error}
rows:
  - id: r152_224
    labels: [ResNet-152, "224"]
    configurations: [[network.depth=152]]
    cells: {top1: {printed: 23.0}, top5: {printed: 6.7}}
  - id: r152_320
    labels: [ResNet-152, "320"]
    configurations: [[network.depth=152]]
    cells: {top1: {printed: 21.3, metric: crop320_error}, top5: {printed: 5.5, metric: crop320_top5_error}}
"""
"""Two rows with the same run and different metrics."""

DEPTHS = """
headings: [depth]
columns:
  - {id: plain, heading: plain test, overrides: [shortcut=plain]}
  - {id: plain_train, heading: plain train, overrides: [shortcut=plain], metric: train_error}
  - {id: resnet, heading: ResNet test}
  - {id: resnet_train, heading: ResNet train, metric: train_error}
rows:
""" + "".join(
    f"""
  - id: d{depth}
    labels: ["{depth}"]
    remark: the paper has more to say
    configurations: [[network.depth={depth}]]
    cells:
      plain: {{digitised: {plain}, curve: v1_fig6left__plain{depth}}}
      plain_train: {{digitised: {train}}}
      resnet: {{printed: {resnet}, curve: v1_fig6right__resnet{depth}}}
      resnet_train: {{}}
"""
    for depth, plain, train, resnet in (
        (20, 9.69, 1.3, 8.75),
        (32, 10.08, 1.2, 7.51),
        (44, 11.42, 2.7, 7.17),
        (56, 13.23, 5.6, 6.97),
        (110, "null", "null", 6.43),
    )
)
FIGURE_6 = """
figures:
  - {id: fig6left, title: Plain, kind: errors, cells: [d20/plain, d32/plain, d44/plain, d56/plain, d110/plain]}
  - {id: fig6right, title: ResNet, kind: errors, cells: [d20/resnet, d32/resnet, d44/resnet, d56/resnet]}
"""
"""Columns in different metrics, some of them digitised."""

RESPONSES = """
headings: [network]
columns:
  - {id: mean, metric: response_mean}
  - {id: max, heading: maximum, metric: response_max}
baseline: first_row
rows:
  - id: plain20
    labels: [plain-20]
    configurations: [[network.depth=20, shortcut=plain]]
    cells: {mean: {digitised: 1.82, curve: fig7__plain20}, max: {digitised: 2.32}}
  - id: resnet20
    labels: [ResNet-20]
    configurations: [[network.depth=20]]
    cells: {mean: {digitised: 1.62, curve: fig7__resnet20}, max: {digitised: 2.50}}
figures:
  - {id: fig7original, title: Original order, kind: responses, cells: [plain20/mean, resnet20/mean]}
  - {id: fig7sorted, title: By size, kind: responses, sorted: true, cells: [plain20/mean, resnet20/mean]}
"""
"""A metric that is no error."""

BIASES = """
headings: [b_g]
baseline: first_row
overrides: [data.held_out=5000]
rows:
  - {id: b0, labels: ["0"], configurations: [[shortcut.gate_bias=0, data.held_out=5000]], cells: {error: {}}}
  - {id: b6, labels: ["−6"], configurations: [[shortcut.gate_bias=-6, data.held_out=5000]], cells: {error: {}}}
"""
"""Cells without a number of the paper."""
