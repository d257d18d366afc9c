"""Service units for systemd and SLURM."""
