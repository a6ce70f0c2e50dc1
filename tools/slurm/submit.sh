#!/usr/bin/env bash
# Submit a profile's pipeline to SLURM: one job array per group of stages, each after the groups before it.
#   tools/slurm/submit.sh PROFILE [sbatch options, for instance --partition=gpu --gres=gpu:1 --time=12:00:00]
# A preempted task is requeued and its training resumes from its last state. Finished stages are skipped, so submitting again
# after a failure runs only what is left.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:?name a profile: default, or a file of conf/ without .yaml}
shift
stages=$(topokd stages --profile "$profile")
folder=workspace/$profile/slurm
mkdir -p "$folder"
echo "$stages" > "$folder/stages.tsv"
previous=""
for group in $(cut -f1 "$folder/stages.tsv" | awk '!seen[$0]++'); do
  list=$folder/$group.txt
  awk -F'\t' -v group="$group" '$1 == group {print $2}' "$folder/stages.tsv" > "$list"
  job=$(sbatch --parsable --requeue --job-name="topokd-$profile-$group" --array="1-$(wc -l < "$list")" \
    --output="$folder/%x-%a.log" ${previous:+--dependency="afterok:$previous"} "$@" tools/slurm/stage.sbatch "$list")
  previous=${job%%;*}
  echo "$group: job $previous, $(wc -l < "$list") tasks"
done
