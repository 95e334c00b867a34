"""Trains this algorithm: python scripts/train.py run --config_file=configs/hyper_parameters.yaml."""

import fire
from semcl.auto3dseg import train

if __name__ == "__main__":
    fire.Fire({"run": train})
