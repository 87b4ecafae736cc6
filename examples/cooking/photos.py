"""Photos that ship in packages, as tensors; the packages are found, not imported, and only Pillow is needed to read.

pip install scikit-image scikit-learn pillow
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch

SHIPPED = {
    "skimage": ("data", ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]),
    "sklearn": ("datasets/images", ["china.jpg", "flower.jpg"]),
}


def load_photos(short_side: int) -> dict[str, torch.Tensor]:
    """Return photos by name, 3 x height x width, from 0 to 1, their shorter side so many pixels long."""
    try:
        from PIL import Image
    except ImportError:
        raise SystemExit("Pillow is missing: pip install pillow") from None
    photos = {}
    for package, (folder, names) in SHIPPED.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{package} is missing, whose photos this needs: pip install scikit-image scikit-learn")
        for name in names:
            image = Image.open(Path(spec.submodule_search_locations[0]) / folder / name).convert("RGB")
            scale = short_side / min(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
            photos[Path(name).stem] = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    return photos


class Patches(torch.utils.data.Dataset):
    """Random square patches, mirrored or not, of all photos but their right margin."""

    def __init__(self, photos: dict[str, torch.Tensor], size: int, margin: int, length: int) -> None:
        self.photos = [photo[:, :, : photo.shape[2] - margin] for photo in photos.values()]
        self.size, self.length = size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, _: int) -> torch.Tensor:
        photo = self.photos[int(torch.randint(len(self.photos), ()))]
        y, x = (int(torch.randint(side - self.size + 1, ())) for side in photo.shape[1:])
        patch = photo[:, y : y + self.size, x : x + self.size]
        return patch.flip(-1) if torch.rand(()) < 0.5 else patch
