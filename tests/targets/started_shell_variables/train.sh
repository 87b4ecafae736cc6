LR=${LR:-0.1}
WIDTH=64
python train.py \
    --lr "$LR" \
    --width $WIDTH --seed "${SEED:-0}"
