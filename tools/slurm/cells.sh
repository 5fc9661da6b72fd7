#!/bin/bash
# The cells of a table, a job each: sbatch --array=0-11 tools/slurm/cells.sh lora_glue --preset paper --results DIR
# (`lora_glue plan` lists the cells). A cell that another job has finished is skipped; one that is stopped is queued
# again and goes on from its last checkpoint.
#SBATCH --job-name=cells
#SBATCH --ntasks=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
experiment=$1
shift
"$experiment" run --cell "$SLURM_ARRAY_TASK_ID" "$@" &
cell=$!
trap 'kill -USR1 "$cell"' USR1 TERM
wait "$cell"
code=$?
while kill -0 "$cell" 2>/dev/null; do  # a trap ended the wait
  wait "$cell"
  code=$?
done
if [ "$code" -eq 75 ]; then
  echo "stopped after saving: queued again"
  scontrol requeue "$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
