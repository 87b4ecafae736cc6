"""python -m trainer --lr 0.1 --seed 0"""

from trainer.cli import main

main()
