"""`wideseek study ablation`: trainings that differ in one thing, each with several seeds, beside controls.

    arms       what there is to choose from: an arm is the configuration with one thing changed, a `Job` one with a seed
    study      run_ablation: which jobs are missing, each in a process of its own, `jobs` side by side
    run        run_job: train where that is not done, measure what is missing, write result.json
    controls   trainings by imitation, for as many tokens or as much compute as `joint`
    measuring  item F1 on the fixed questions, and what else an arm is asked

    CONFIG + an arm's changes + a seed  ->  reinforcement learning in OUT/ARM/seed-N (`train.loop`)  ->  result.json
    sft         the expert's demonstrations of the questions that `joint` was asked  ->  `train.sft`  ->  result.json
    sft-equal   the same, for as much compute as `joint`
    best-of-n   every such question asked of the start as often as in `joint`, the best rollout where it is better than
                the others' mean (rejection fine-tuning)                             ->  `train.sft`  ->  result.json

What has ended is not done again, and what was killed goes on from its last checkpoint. Runs tell what they do through
their folders, which the study reads.
"""
