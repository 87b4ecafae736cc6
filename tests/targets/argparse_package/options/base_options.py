"""Options of training and of testing."""

import argparse


class BaseOptions:
    def initialize(self, parser):
        parser.add_argument("--seed", type=int, default=0)
        return parser

    def parse(self):
        return self.initialize(argparse.ArgumentParser()).parse_args()
