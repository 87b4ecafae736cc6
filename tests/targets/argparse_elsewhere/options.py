"""Options of the training."""

import argparse


def build_parser():
    parser = argparse.ArgumentParser()
    group = parser.add_argument_group("optimiser")
    group.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--manualSeed", type=int, default=0)
    return parser


def get_args():
    return build_parser().parse_args()
