#!/bin/bash
# One training by several workers, on one node or many: sbatch tools/slurm/train.sh --model M --tuner lora ... --shards S
# Change the lines below, or give sbatch others: sbatch --nodes 4 --gpus-per-node 8 --ntasks-per-node 8 tools/slurm/train.sh ...
# The number of tasks and --shards are powers of two. The output must be a directory that all nodes see.
#
# When the time is nearly over, or the job is preempted, worker 0 saves and all end with code 75; the job is queued again
# and goes on with --resume, with the same bits.
#SBATCH --job-name=cambium
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
program=${CAMBIUM:-cambium}
# Workers meet by TCP at the first node: no MPI is needed. Of two jobs on one node each has its own port.
MASTER_ADDR=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
srun --kill-on-bad-exit=0 bash -c \
  'RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID exec "$@"' worker \
  "$program" train --resume "$@" &
step=$!
# The script gets the signal and hands it to the workers. SIGTERM comes at preemption and at the end of the time.
trap 'scancel --signal=USR1 "$SLURM_JOB_ID.0"' USR1 TERM
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do  # a trap ended the wait
  wait "$step"
  code=$?
done
if [ "$code" -eq 75 ]; then
  echo "stopped after saving: queued again"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
