"""Data sets: the real loaders on small files that the tests write, and scikit-learn's real digits."""

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from bench.config.check import make_cell
from bench.config.datasets import CIFAR10_CLASSES, load_dataset_row
from bench.errors import DataError
from bench.train.datasets.splits import Splits, load_splits


def load(dataset: str, root: Path | None = None, **axes: Any) -> Splits:
    passes = ["memory"] if dataset == "random" else ["accuracy"]
    return load_splits(make_cell({"dataset": dataset, "passes": passes, **axes}), root)


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    """The IDX format of MNIST: magic number with the number of dimensions, sizes, bytes."""
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, folder: str = "MNIST", train: int = 40, test: int = 10) -> None:
    generator = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        raw = root / folder / "raw"
        write_idx(raw / f"{prefix}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)


def write_pictures(root: Path, classes: tuple[str, ...], size: tuple[int, int] = (8, 8), suffix: str = "png") -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}.{suffix}")


def test_digits_are_real_disjoint_and_normalised() -> None:
    data = load("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1293, 144, 360)
    assert data.shape == (1, 8, 8)
    assert data.classes == 10
    assert float(data.train.images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.train.images.std()) == pytest.approx(1, abs=1e-3)
    assert torch.bincount(data.test.labels).min() > 20


def test_the_validation_split_moves_with_the_seed_and_the_test_set_does_not() -> None:
    first, second = load("digits", seed=0), load("digits", seed=1)
    assert not torch.equal(first.validation.labels, second.validation.labels)
    assert torch.equal(first.test.labels, second.test.labels)
    assert first.fingerprint == second.fingerprint


def test_train_samples_limits_training_and_validation_together() -> None:
    data = load("digits", train_samples=100)
    assert len(data.train) + len(data.validation) == 100
    assert len(load("digits", train_samples=10**6).train) == 1293


def test_mnist_is_read_from_torchvisions_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = load("mnist", tmp_path)
    assert data.shape == (1, 28, 28)
    assert len(data.test) == 10
    assert data.asymmetric == load_dataset_row("mnist").asymmetric


def test_fashion_mnist_is_read_from_torchvisions_files(tmp_path: Path) -> None:
    write_mnist(tmp_path, "FashionMNIST")
    assert len(load("fashion-mnist", tmp_path).test) == 10


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_read_from_torchvisions_files(
    tmp_path: Path, name: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets as torchvision_datasets

    source = torchvision_datasets.CIFAR10 if name == "cifar10" else torchvision_datasets.CIFAR100
    folder = tmp_path / source.base_folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    key = "labels" if name == "cifar10" else "fine_labels"
    for file, _ in (*source.train_list, *source.test_list):
        batch = {"data": generator.integers(0, 256, (20, 3072), dtype=np.uint8), key: list(np.arange(20) % classes)}
        (folder / file).write_bytes(pickle.dumps(batch))
    names = [f"class {index}" for index in range(classes)]
    (folder / source.meta["filename"]).write_bytes(pickle.dumps({source.meta["key"]: names}))
    # The published checksums belong to the published files; everything after the check is torchvision's real reader.
    monkeypatch.setattr(source, "_check_integrity", lambda _self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = load(name, tmp_path)
    assert data.shape == (3, 32, 32)
    assert data.classes == classes


def test_svhn_is_read_from_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        content = {"X": generator.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8), "y": np.arange(20) % 10 + 1}
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", content)
    monkeypatch.setattr("torchvision.datasets.SVHN._check_integrity", lambda _self: True)
    data = load("svhn", tmp_path)
    assert data.shape == (3, 32, 32)
    assert set(data.test.labels.tolist()) == set(range(10)), "SVHN writes the digit 0 as 10"


def test_a_missing_data_set_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root.*--download"):
        load("mnist", tmp_path)
    with pytest.raises(DataError, match="needs --data-root"):
        load("cifar10")


def test_a_damaged_data_set_is_an_error(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1000])
    with pytest.raises(DataError, match="could not be loaded"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_folder_is_read_with_its_class_names_in_order(tmp_path: Path, suffix: str) -> None:
    write_pictures(tmp_path / "pets", ("cat", "dog", "newt"), suffix=suffix)
    data = load("image-folder:pets", tmp_path)
    assert data.shape == (3, 8, 8)
    assert data.classes == 3
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.asymmetric is None
    assert load("image-folder", tmp_path / "pets").fingerprint == data.fingerprint


def test_an_image_folder_can_be_resized_and_greyed(tmp_path: Path) -> None:
    write_pictures(tmp_path, ("a", "b"), size=(12, 10))
    assert load("image-folder", tmp_path, image_size=6, channels=1).shape == (1, 6, 6)
    assert load("image-folder", tmp_path).shape == (3, 10, 12)


def test_an_image_folder_with_cifar10s_classes_has_cifar10s_asymmetric_map(tmp_path: Path) -> None:
    write_pictures(tmp_path, CIFAR10_CLASSES)
    assert load("image-folder", tmp_path).asymmetric == load_dataset_row("cifar10").asymmetric


def test_image_folders_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image folder.*train/CLASS"):
        load("image-folder:none", tmp_path)
    write_pictures(tmp_path, ("a", "b"))
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        load("image-folder", tmp_path)
    Image.new("RGB", (9, 8)).save(tmp_path / "train" / "a" / "0.png")
    with pytest.raises(DataError, match=r"set image_size"):
        load("image-folder", tmp_path)
    (tmp_path / "test" / "c").mkdir()
    with pytest.raises(DataError, match="different classes"):
        load("image-folder", tmp_path)


def test_random_data_has_the_chosen_shape_and_follows_the_seed() -> None:
    data = load("random", batch_size=5, image_size=6, channels=2, classes=7)
    assert data.shape == (2, 6, 6)
    assert data.classes == 7
    assert len(data.train) >= 5
    again = load("random", batch_size=5, image_size=6, channels=2, classes=7, seed=1)
    assert data.fingerprint != again.fingerprint


def test_one_training_image_of_one_pixel_is_normalised_to_a_number() -> None:
    data = load("random", batch_size=1, image_size=1, channels=2)
    assert len(data.train) == 1
    assert data.train.images.tolist() == [[[[0.0]], [[0.0]]]]


def test_a_data_set_of_one_sample_says_so(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        "import torch\n\n\ndef one():\n    return [(torch.zeros(1, 1, 4, 4), torch.zeros(1).long())] * 2\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError, match=r"has 1 training samples, which leaves none to train on.*legal: 2 or more"):
        load(f"{tmp_path}/data.py:one")


def test_compressed_mnist_files_alone_are_missing_data(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    for file in (tmp_path / "MNIST" / "raw").iterdir():
        (file.parent / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    with pytest.raises(DataError, match="--data-root"):
        load("mnist", tmp_path)


def test_enlarged_digits_are_the_same_images_with_the_same_labels_in_the_same_splits() -> None:
    small, large = load("digits"), load("digits-32")
    assert large.shape == (1, 32, 32)
    for name in ("train", "validation", "test"):
        own, of_file = getattr(large, name), getattr(small, name)
        assert torch.equal(own.labels, of_file.labels)
        # Bilinear interpolation of 4 pixels a pixel keeps the order of brightness: both name the same brightest region.
        shrunk = torch.nn.functional.avg_pool2d(own.images, 4).flatten(1)
        together = torch.stack([shrunk.flatten(), of_file.images.flatten()])
        assert float(torch.corrcoef(together)[0, 1]) > 0.95
