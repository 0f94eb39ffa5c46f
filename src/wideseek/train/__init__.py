"""Training: what is learnt from, how weights change, what is kept. `torch` is imported here and in `policy.local` only.

sft          behaviour cloning from saved rollouts: the loop of it
loop         reinforcement learning of the lead and the subagents: the loop of it
settings     their configurations, checked before anything is loaded
sitting      what both do alike when they start, go on and are interrupted
samples      rollouts -> one token sequence per agent, and which of its tokens a policy sampled
data         the samples of files, made once
packing      samples side by side in one row, without padding
attention    causal attention inside each segment of such a row
model        any causal language model of `transformers` on packed rows
learner      one update
optimizer    Muon and AdamW, the schedule
measure      loss, exact tokens and exact turns on held-out samples

questions    what is asked: question n is the same in every sitting
stream       groups of rollouts, the next step's beginning while stragglers of this one run
groups       a question's rollouts, their scores, rewards, marks and advantages
credit       which turns train        advantage    how much better a rollout did than its group
batch        rollouts -> samples: one weight per token
prefix_tree  samples in one row, what they have in common once
loss         the clipped surrogate    policy_learner    one update by it

checkpoint   everything that a training needs to go on, whole or not at all
log          metrics.jsonl, TensorBoard, the progress bar    curve    a picture of it
"""
