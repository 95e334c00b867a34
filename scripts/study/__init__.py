"""The study: training strategies compared on one cohort over seeds, folds, protocols and shares of labels."""
