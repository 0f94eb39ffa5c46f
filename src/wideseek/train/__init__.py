"""Training: what is learnt from, how weights change, what is kept. `torch` is imported here and in `policy.local` only.

sft          behaviour cloning from saved rollouts: the loop of it
settings     its configuration, checked before anything is loaded
samples      rollouts -> one token sequence per agent, and which of its tokens a policy sampled
data         the samples of files, made once
packing      samples side by side in one row, without padding
attention    causal attention inside each segment of such a row
model        any causal language model of `transformers` on packed rows
learner      one update
optimizer    Muon and AdamW, the schedule
measure      loss, exact tokens and exact turns on held-out samples
checkpoint   everything that a training needs to go on, whole or not at all
log          metrics.jsonl, TensorBoard, the progress bar
"""
