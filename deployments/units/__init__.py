"""Service units for systemd, and scripts for SLURM."""
