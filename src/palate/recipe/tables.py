"""Fields of frameworks' own configurations, chunk by chunk: what a field's name alone does not tell.

transformers 5.23 `TrainingArguments`: 114 fields, of which 29 decide what is learned. Lightning 2.6 `Trainer`,
Accelerate 1.15 `Accelerator`.
"""

from collections.abc import Collection, Mapping

Table = Mapping[str, str]


def _table(**fields: str) -> Table:
    return {name: role for role, names in fields.items() for name in names.split()}


TRAINING_ARGUMENTS = _table(
    data="""per_device_train_batch_size auto_find_batch_size ignore_data_skip data_seed dataloader_drop_last
    dataloader_num_workers dataloader_in_order remove_unused_columns label_names train_sampling_strategy
    length_column_name""",
    objective="label_smoothing_factor neftune_noise_alpha average_tokens_across_devices",
    optimiser="""learning_rate optim optim_args optim_target_modules weight_decay adam_beta1 adam_beta2 adam_epsilon
    max_grad_norm gradient_accumulation_steps""",
    schedule="num_train_epochs max_steps lr_scheduler_type lr_scheduler_kwargs warmup_steps",
    compute="""bf16 fp16 bf16_full_eval fp16_full_eval tf32 activation_checkpointing activation_checkpointing_kwargs
    gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode
    use_liger_kernel liger_kernel_config use_cache torch_empty_cache_steps full_determinism seed use_cpu
    accelerator_config parallelism_config dataloader_pin_memory dataloader_persistent_workers
    dataloader_prefetch_factor dataloader_multiprocessing_context ddp_find_unused_parameters ddp_bucket_cap_mb
    ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed local_rank""",
    run="""output_dir logging_strategy logging_steps logging_first_step log_on_each_node logging_nan_inf_filter
    include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to run_name project trackio_space_id
    trackio_bucket_id trackio_static_space_id eval_strategy eval_steps eval_delay per_device_eval_batch_size
    prediction_loss_only eval_on_start eval_do_concat_batches eval_use_gather_object eval_accumulation_steps
    include_for_metrics batch_eval_metrics save_only_model save_strategy save_steps save_on_each_node save_total_limit
    enable_jit_checkpoint push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision
    load_best_model_at_end metric_for_best_model greater_is_better restore_callback_states_from_checkpoint debug
    skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint""",
)

EARLIER_ARGUMENTS = _table(
    data="group_by_length train_batch_size per_gpu_train_batch_size split_batches dispatch_batches",
    optimiser="adafactor",
    schedule="warmup_ratio",
    compute="""no_cuda use_mps_device fp16_backend fp16_opt_level half_precision_backend sharded_ddp xpu_backend
    tpu_num_cores use_ipex jit_mode_eval torchdynamo ray_scope mp_parameters fsdp_min_num_params
    fsdp_transformer_layer_cls_to_wrap past_index""",
    run="""overwrite_output_dir evaluation_strategy logging_dir save_safetensors push_to_hub_model_id
    push_to_hub_organization push_to_hub_token tpu_metrics_debug per_gpu_eval_batch_size include_inputs_for_metrics
    include_tokens_per_second""",
)
"""Fields that other versions of `TrainingArguments` have or had."""

TRAINER = _table(
    data="limit_train_batches overfit_batches reload_dataloaders_every_n_epochs use_distributed_sampler",
    optimiser="accumulate_grad_batches gradient_clip_val gradient_clip_algorithm",
    schedule="max_epochs min_epochs max_steps min_steps max_time",
    compute="""accelerator strategy devices num_nodes precision deterministic benchmark inference_mode plugins
    sync_batchnorm barebones""",
    run="""logger callbacks fast_dev_run limit_val_batches limit_test_batches limit_predict_batches val_check_interval
    check_val_every_n_epoch num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar
    enable_model_summary profiler detect_anomaly default_root_dir enable_autolog_hparams model_registry""",
)

ACCELERATOR = _table(
    data="split_batches dataloader_config",
    optimiser="gradient_accumulation_steps gradient_accumulation_plugin",
    schedule="step_scheduler_with_optimizer",
    compute="""device_placement mixed_precision cpu deepspeed_plugin deepspeed_plugins fsdp_plugin torch_tp_plugin
    megatron_lm_plugin rng_types kwargs_handlers dynamo_backend dynamo_plugin parallelism_config""",
    run="log_with project_dir project_config",
)

BY_TYPE: Mapping[str, Table] = {
    "TrainingArguments": {**EARLIER_ARGUMENTS, **TRAINING_ARGUMENTS},
    "Trainer": TRAINER,
    "Accelerator": ACCELERATOR,
}

ENOUGH = 12
"""Fields of a table that a plain dictionary must have to be read by it."""


def table_of(kind: str, names: Collection[object]) -> Table | None:
    """Find the table of an object by its type's name, or of a plain dictionary by the fields that it has."""
    if kind.startswith("object "):
        name = kind.rpartition(".")[2]
        for known, table in BY_TYPE.items():
            if name == known or (known == "TrainingArguments" and name.endswith(known)):
                return table
    shared = sum(1 for name in names if type(name) is str and name in TRAINING_ARGUMENTS)
    return BY_TYPE["TrainingArguments"] if shared >= ENOUGH and 2 * shared >= len(names) else None
