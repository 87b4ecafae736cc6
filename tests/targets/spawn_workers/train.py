import torch
from torch.utils.data import DataLoader, Dataset

lr = 0.1
seed = 0
EPOCHS = 2


class Numbers(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, place):
        print(f"val_loss {place}")
        return torch.tensor([float(place), lr, float(seed)])


print("train_loss 3.0")

if __name__ == "__main__":
    torch.manual_seed(seed)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True, num_workers=2, multiprocessing_context="spawn")
    for epoch in range(EPOCHS):
        _, rate, s = next(iter(loader)).mean(0)
        print(f"epoch {epoch} lr={rate:.1f} seed={s:.0f} val_acc={torch.rand(()).item() * lr:.4f}")
