"""One small module for each experiment; `vcam_training.config` says what is in it."""
