"""GPU names are found as people type them, and a wrong one names the nearest."""

import pytest

from autoscale.packing.gpus import CATALOGUE, find_gpu


@pytest.mark.parametrize(
    ("text", "name"),
    [("L4", "l4"), ("a100", "a100-80gb"), ("RTX 4090", "rtx4090"), ("4090", "rtx4090"),
     ("H100_80GB", "h100-80gb"), ("a100-80gb-mig-1g.10gb", "a100-80gb-mig-1g.10gb"),
     # as nodes are labelled (nvidia.com/gpu.product) and `nvidia-smi -L` says
     ("NVIDIA-A10G", "a10g"), ("NVIDIA-A10G-SHARED", "a10g"), ("NVIDIA L40S", "l40s"),
     ("NVIDIA-A100-SXM4-40GB", "a100-40gb"), ("NVIDIA-H100-80GB-HBM3", "h100-80gb"),
     ("NVIDIA GeForce RTX 4090", "rtx4090"),
     ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "a100-80gb-mig-1g.10gb")],
)  # fmt: skip
def test_a_name_is_found(text: str, name: str) -> None:
    assert find_gpu(text).name == name


@pytest.mark.parametrize(("text", "gib"), [("24", 24), ("22.5GiB", 22.5), ("80 GiB", 80)])
def test_a_size_is_a_gpu_of_unknown_bandwidth(text: str, gib: float) -> None:
    gpu = find_gpu(text)
    assert (gpu.memory_bytes, gpu.bandwidth_gb_per_s) == (int(gib * 2**30), 0)


@pytest.mark.parametrize(("text", "hint"), [("h10", "'h100'"), ("a10", "'a10g'"), ("l4s", "'l4")])
def test_a_misspelt_name_suggests_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {hint}"):
        find_gpu(text)


@pytest.mark.parametrize("text", ["0", "-3", "1e9", "nan", "", "potato"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="GPU"):
        find_gpu(text)


def test_the_catalogue_is_complete_and_sane() -> None:
    for gpu in CATALOGUE.values():
        assert gpu.source
        assert 4 < gpu.memory_gib < 300 and 100 < gpu.bandwidth_gb_per_s < 10_000
        assert gpu.name == gpu.name.lower()


def test_a_card_on_pcie_is_not_taken_for_the_faster_one() -> None:
    with pytest.raises(ValueError, match="did you mean"):
        find_gpu("NVIDIA-H100-PCIe")
