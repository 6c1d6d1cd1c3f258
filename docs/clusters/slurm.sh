#!/bin/bash
#SBATCH --job-name=tsd --nodes=4 --ntasks-per-node=1 --exclusive --gpus-per-node=4 --time=12:00:00 --requeue
# sbatch docs/clusters/slurm.sh sweeps/NAME.yaml     On whole nodes only: at its end it stops every Ray of its user there.
set -eu
umask 077 && mkdir -p ~/.ray && export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.ray/auth_token
test -s "$RAY_AUTH_TOKEN_PATH" || ray get-auth-token --generate >/dev/null
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \
  -- python -m tsd.sweep "$1" --address auto --results "${RESULTS:-$HOME/results}"
