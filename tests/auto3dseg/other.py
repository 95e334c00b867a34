"""Another algorithm, for an ensemble: it segments everything dense as class 1 and no other class."""

import os

import torch
import yaml
from monai.apps.auto3dseg import BundleAlgo
from monai.transforms import LoadImage

CLASSES = 14


class OtherAlgo(BundleAlgo):
    def export_to_disk(self, output_path, algo_name, **kwargs):
        self.output_path = os.path.join(output_path, algo_name)
        os.makedirs(os.path.join(self.output_path, "configs"), exist_ok=True)

    def train(self, train_params=None, device_setting=None):
        for name, content in (("configs/hyper_parameters", {}), ("progress", [{"best_avg_dice_score": 0.01}])):
            with open(os.path.join(self.output_path, f"{name}.yaml"), "w") as file:
                yaml.safe_dump(content, file)

    def predict(self, predict_files, predict_params=None):
        return [self.infer(entry["image"]) for entry in predict_files]

    def infer(self, image):
        scan = LoadImage(ensure_channel_first=True)(image)
        dense = scan > 300
        rest = ~dense
        return torch.cat([rest * 0.5, dense * 1.0, *[rest * (0.5 / (CLASSES - 2))] * (CLASSES - 2)])
