# Written for auscult from the figures that the project's own note quotes (see README.md here). Not anybody's file.
out_dir = "out-fineweb"
wandb_run_name = "125M-fineweb"
dataset = "fineweb"

eval_interval = 500
eval_iters = 200
log_interval = 200

batch_size = 16
gradient_accumulation_steps = 32  # effective batch size: 16 * 32 = 512 sequences, ~524k tokens per step
block_size = 1024

# model: ~125M parameters, for 12 GB of VRAM
n_layer = 12
n_head = 12
n_embd = 384
dropout = 0.1

learning_rate = 1e-3
min_lr = 1e-4
warmup_iters = 500
lr_decay_iters = 20000
max_iters = 20000  # ~3B tokens seen
beta2 = 0.99
weight_decay = 0.1

compile = True
