"""Which of the seven chunks (roles) a setting belongs to.

By its path: an ordered list of patterns, of which the first that matches decides. Paths are written in snake case with
dots (`train_dataloader.dataset.type`), without the indices of lists. A path that no pattern matches is `other`. The
patterns are about words, not about frameworks, so that they work for YAML files and for the flags of scripts too.

By the framework: for the arguments of three common classes, a table says the role of each field.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache, lru_cache

from palate.recipe.tree import Path

ROLES = ("data", "model", "objective", "optimiser", "schedule", "compute", "run")
"""The seven chunks, in the order in which they are shown. The first five decide what is learned."""

OTHER = "other"
"""The role of a setting that belongs to none of the seven chunks as far as palate knows."""

ENOUGH = 12
"""The fewest fields of a table that a plain dictionary must have for the table to be used."""

FieldTable = Mapping[str, str]
"""The roles of the fields of one framework's class, by the fields' names."""

_EMPTY = """
    train training trainer main common base global args? arguments? cfg config conf params? h_?params
    hyper_?parameters settings hyp opts? options defaults? exp experiment recipe script_args kwargs solver
    runtime pl_?trainer init_args _meta meta"""
"""Sections whose names say nothing about their settings."""

_THROUGH = rf"(?:(?:{'|'.join(_EMPTY.split())})\.)*"
_IN = r"(?:\.|$)"

ANYWHERE = r"(?:^|\.)(?:{words})" + _IN
"""Matches any name on the path."""

ANYWHERE_LAST = r"(?:^|\.)(?:{words})$"
"""Matches the setting's own name."""

SECTION = "^" + _THROUGH + r"(?:{words})" + _IN
"""Matches the outermost name that is not one of the empty sections."""

SECTION_LAST = "^" + _THROUGH + r"(?:{words})$"
"""Matches the same name, if it is the setting's own."""

BELOW = "^" + _THROUGH + r"(?:\w+\.)?(?:{words})" + _IN
"""Matches the name of `SECTION`, or the one below it."""

BELOW_LAST = "^" + _THROUGH + r"(?:\w+\.)?(?:{words})$"
"""Matches the same names, if they are the setting's own."""

NO_SCALE = r"^(?!.*loss_scale)(?!(?:val|valid|validation|test|eval|log|logger|logging)\b).*(?:^|\.)(?:{words})" + _IN
"""Matches any name on the path, except for loss scaling and for losses that are only logged or evaluated."""

_RULES: tuple[tuple[str, str, str], ...] = (
    # the objective, anywhere on the path, except for loss scaling and logging
    ("objective", NO_SCALE, r"""
        (\w+_)?(loss|losses|criterion|criteria|objectives?|target_generator|rewards?)(_(fns?|func|function|cfg|config|
        weights?|types?|kwargs|args|name|module|decode|cls|bbox|mask|coef\w*|weight_\w+|lambda\w*))?
        (\w+_)?reward_(functions?|fns?|weights?|model_\w+|shaping|scale|clip)(_(fns?|cfg|config|kwargs|args))?"""),
    # augmentations and tokenizers, anywhere on the path
    ("data", ANYWHERE, r"""
        augments? augmentations? mixup\w* cutmix\w* data_preprocessor preprocessor tokeni[sz]ers?
        tokeni[sz]er_\w+ image_processor feature_extractor"""),
    ("run", ANYWHERE, r"ema_eval eval_\w+ evals? evaluation evaluators? \w+_evaluators?"),
    # evaluation, logging and saving, named by their section
    ("run", SECTION, r"""
        (val|valid|validation|test|testing|dev|query|gallery|predict|prediction|infer|zeroshot)(_\w+)?"""),
    ("run", SECTION, r"""
        (data|datasets?|dataloaders?|loaders?|datamodule)\.(val|valid|validation|test|dev)(_\w+)?"""),
    ("run", SECTION, r"""
        (dataset|data|dataloader|loader|batch_size|samples|num_samples|bs)_(val|valid|validation|test|dev|eval)"""),
    ("run", SECTION, r"""
        loggers? logging log wandb\w* tensorboard\w* mlflow\w* comet\w* trackers? metric_logger profilers?
        profiling vis visuali[sz]\w* vis_backends callbacks? \w*hooks hydra metrics?"""),
    ("schedule", ANYWHERE, r"""
        param_schedulers? lr_schedulers? schedulers? lr_schedules? lr_config schedule warmup momentum_config
        sched"""),
    ("compute", ANYWHERE, r"(dynamic_)?loss_scale\w* grad_?scaler"),
    # compute
    ("compute", ANYWHERE_LAST, r"""
        num_workers workers n_workers \w+_num_workers pin_mem(ory)? dataloader_pin_memory persistent_workers
        prefetch(_factor|er)? multiprocessing_context workers_per_gpu num_proc preprocessing_num_workers
        dataloader_(num_workers|prefetch_factor|persistent_workers)"""),
    ("compute", SECTION, r"""
        env env_cfg environment compute hardware distributed dist dist_params fsdp\w* ddp\w* deepspeed\w*
        zero_optimization rank accelerate accelerator\w* strategy parallel\w* \w+_parallel\w* launcher amp precision
        mixed_precision randomness fp16 bf16 resources cluster slurm orchestration ipu\w* inductor dynamo\w*"""),
    ("compute", ANYWHERE_LAST, r"""
        device devices device_map gpus? gpu_ids? num_gpus n_gpus num_nodes nodes nnodes nproc\w* world_size
        local_rank node_rank master_(addr|port) dist_(url|backend) backend_nccl nccl\w* cuda use_cuda
        no_cuda use_cpu cpu tpu\w* xla use_gpu platform mesh"""),
    ("compute", ANYWHERE, r"""
        dtype \w+_dtype param_dtype fp16 bf16 fp8\w* tf32 amp\w* use_amp mixed_precision precision
        half_precision half float16 bfloat16 allow_tf32 matmul_precision load_in_(4|8)bit bnb_\w+ quanti[sz]\w*"""),
    ("compute", ANYWHERE, r"""
        compile\w* use_compile torch_compile\w* torchcompile jit torchscript cudnn\w* benchmark deterministic\w*
        full_determinism use_deterministic\w* channels_last flash_attn\w* flash_attention\w* use_flash\w*
        xformers\w* attn_implementation sdp_\w+ use_flex liger\w* use_liger\w* kernels?_impl fused_\w+kernel
        use_kernel\w* \w*cudagraphs?\w*"""),
    ("compute", ANYWHERE, r"""
        (enable_)?(activation|gradient|grad)_(checkpoint\w*|offload\w*) \w*gradient_checkpointing\w*
        use_checkpoint with_cp ac_mode ac_option \w*cpu_offload\w* \w*offload\w* optimizer_in_bwd low_cpu_ram
        low_cpu_mem_usage memory_efficient\w* custom_sharded_layers shard\w* data_parallel\w* tensor_parallel\w*
        pipeline_parallel\w* context_parallel\w* expert_parallel\w* use_distributed_\w+ find_unused_parameters
        sync_batchnorm sync_bn enable_kv_cache use_cache max_memory\w* empty_cache\w* chunked_output\w*
        num_output_chunks"""),
    ("compute", ANYWHERE_LAST, r"seed \w+_seed manual_seed random_seed random_state randomseed torch_seed seeds?"),
    # sections of the optimizer, the data and the model; all settings in them belong to them
    ("schedule", SECTION_LAST, r"train_cfg(\.(type|by_epoch|max_\w+|begin|dynamic_\w+))?"),
    ("optimiser", ANYWHERE, r"""
        optim optims optimi[sz]ers? optim_wrapper optimi[sz]er_(config|cfg|args|params|kwargs|name|type) opt
        param_groups? paramwise_cfg \w+_optimi[sz]er optim_\w+ opt_\w+"""),
    ("run", SECTION_LAST, r"(\w+_)?checkpointer\.(output_dir|recipe_checkpoint|keep_\w+|adapter_checkpoint)"),
    ("model", ANYWHERE, r"(\w+_)?checkpointers?"),
    ("data", BELOW, r"""
        data datas \w+_data data_\w+ \w+_data_\w+ datasets? \w+_datasets? dataset_\w+ datasets_\w+ datamodule
        \w*data_?loaders? dataloader_\w+ loaders? \w+_loader \w*pipelines?\d* \w+_pipeline\d* transforms?
        \w+_transforms? aug augs augment\w* aug_\w+ collat\w+ samplers? \w+_sampler sampling_strategy batch
        batching tokeni[sz]ers? tokeni[sz]er_\w+ processor corpus corpora envs? env_(id|name|kwargs)
        environments replay\w* buffer\w* rollout\w* polic(y|ies)_aug policies \w*_policies img_norm_cfg input"""),
    ("model", BELOW, r"""
        models? model_\w+ \w+_model nets? \w*networks? network_\w+ archs? architecture\w* backbones?
        \w+_backbone encoders? \w+_encoder decoders? \w+_decoder heads? \w+_head necks? transformer\w* unet vae
        generator discriminator actor critic policy policy_\w+ value_\w+ q_net\w* lora\w* peft\w* adapter\w*
        dora ema ema_\w+ use_ema teacher\w* student\w* embeddings? modules? layers? blocks? med_config
        pretrained\w* init_cfg init_from \w*weights freeze\w* frozen\w* unfreeze\w* trainable\w*"""),
    # optimizer and schedule, by the names of their settings
    ("optimiser", ANYWHERE, r"""
        (max_)?(grad|gradient)_(clip\w*|norm\w*) clip_(grad\w*|norm\w*|val\w*) max_(grad|gradient)_norm clip
        gradient_clip\w* (gradient|grad|accumulate|accum)_?(accumulation|accum|grad)?_?(steps|batches|iters?)
        accumulation_steps accumulate_grad_batches gradient_accumulation\w* grad_accum\w* update_freq iter_size
        auto_scale_lr"""),
    ("schedule", ANYWHERE, r"""
        warm_?up\w* num_warmup_\w+ \w+_warmup_\w+ \w*warmup_(steps|epochs|ratio|iters|proportion|lr)
        decay_(epochs|steps|rate|milestones|iters|ratio|type|style)
        lr_(decay\w*|drop\w*|steps?|policy|min|end|final|power|schedule\w*|warmup\w*|cycle\w*|gamma|noise\w*|cosine\w*|ep)
        cooldown\w* min_lr\w* eta_min t_max milestones step_size final_lr lr_end anneal\w*
        \w*anneal(ing)?(_\w+)? sched\w* lr_scheduler\w* lrf cos_lr patience_epochs max_lr one_?cycle\w*"""),
    ("schedule", BELOW_LAST, r"""
        (num|max|n|total|min|nb|no)_?(train_|training_)?(epochs?|steps?|iters?|iterations?|updates?|samples_seen|tokens|time|timesteps|env_steps|frames)(_per_epoch)?
        epochs? steps iterations iters total_(timesteps|batches|kimg) train_(steps|iters|epochs|duration)
        duration kimg by_epoch ppo_epochs epoch_length steps_per_epoch stop_\w+ early_stop\w* patience
        tokens_per_run token_budget chinchilla\w* steps_before_weight_sync"""),
    ("optimiser", ANYWHERE_LAST, r"""
        lr lr0 \w+_lr base_lr blr lr_\w+ learning_?rate\w* \w+_learning_rate weight_decay\w* wd decay l2_reg\w*
        momentum sgd_momentum nesterov betas? beta_?[12] adam_\w+ adamw? sgd muon\w* eps layer_decay
        layerwise_lr_decay amsgrad lars\w* lookahead rho sam_\w+ no_weight_decay\w*"""),
    # saving, logging and evaluation, by the names of their settings
    ("run", ANYWHERE_LAST, r"""
        log\w* logger\w* \w+_log \w*logging\w* \w*log_(dir|every\w*|interval|freq\w*|level|steps?|path|peak\w*)
        print_\w+ verbose verbosity quiet display\w* progress\w* enable_progress_bar disable_tqdm report\w*
        wandb\w* tensorboard\w* tb_\w+ debug\w* profile\w* dry_run fast_dev_run monitor\w* watch"""),
    ("run", ANYWHERE, r"""
        output outputs output_\w+ out_dir out out_path \w*save\w* work_dirs? workdir results?_\w+ run_\w+
        exp_name experiment_name job_name project project_\w+ entity group tags? notes? description name
        root_dir default_root_dir artifact\w* hub_\w+ push_to_hub resume\w* auto_resume restore\w*
        checkpoint_(interval|freq\w*|every\w*|path|dir|hook|callback|monitor|metric) checkpointing\w*
        enable_checkpointing ckpt_(interval|freq|every|dir|path) keep_\w+ max_keep\w* should_\w+ recovery_\w+
        default_scope runner runner_type version overwrite\w* cache_dir tmp_dir"""),
    ("run", ANYWHERE, r"""
        (val|valid|validation|test|eval|evaluate|evaluation)(_\w+)? \w+_(val|eval|evals|evaluation)(_\w+)?
        do_(train|eval|predict|test) limit_(val|test|predict)\w* num_sanity_val\w* metrics? metric_\w+
        early_stopping_metric generat\w+ gen_kwargs tasks limit prompt\w* \w+_prompt\w* max_new_tokens
        max_generated_tokens num_beams temperature_eval top_p do_sample greater_is_better"""),
    # the setting's own name, if no section decides
    ("data", ANYWHERE_LAST, r"""
        (train_)?(micro_)?batch_?size\w* \w+_batch_?size\w* batch_?size_\w+ bs samples_per_gpu imgs_per_\w+
        batch_per_\w+ total_batch\w* global_batch\w* device_batch\w* forward_batch\w* tokens_per_batch
        shuffle\w* drop_last packed packing sample_packing pad_to_\w+ group_by_length block_size
        seq(uence)?_len(gth)?\w* max_seq\w* max_(source_|target_|input_)?length cutoff_len context_len\w*
        ctx_len n_ctx crop\w* \w+_crop \w*resize\w* flip\w* hflip vflip jitter\w* color\w* \w*rand_?aug\w*
        auto_?augment aa reprob remode recount scale ratio mean std rgb_\w+ bgr_\w+ \w*img_size \w*image_size
        image_\w+ input_size imgsz resolution interpolation train_(file|data|split|dir|path|set) \w*dataset\w*
        data\w* \w+_data \w+_file \w+_files split\w* train_on_\w+ column\w* text_(column|field) \w+_column\w*
        field\w* vocab_file merges_file streaming label_names num_crops class_names classes subset eigval eigvec
        ans2label remove_unused_columns train_sampling\w* num_envs n_envs env_id buffer_size learning_starts
        replay\w* chat_template apply_chat_template conversation\w* mosaic degrees translate shear perspective
        hsv_\w+ fliplr flipud copy_paste erasing noise_\w+ snr"""),
    ("model", ANYWHERE_LAST, r"""
        n_?(layers?|heads?|embd|embed|blocks?|groups?|kv_heads?|experts?)
        num_(\w+_)?(layers?|heads?|blocks?|classes|experts?|groups|channels|filters|features|labels|queries|kv_heads|key_value_heads)\w*
        hidden\w* \w+_hidden\w* \w*_?dims? dim_\w+ d_\w+ width\w* depth\w* \w*channels\w* embed\w* \w+_embed\w*
        kernel_size patch_size stride vocab_size intermediate_size ffn\w* mlp\w* act activation\w* act_\w+
        hidden_act norm\w* \w+_norm bias use_bias attn\w* attention\w* rope\w* rotary\w* window_size tie_\w+
        dropout\w* drop\w* \w+_dropout\w* \w+_drop drop_path\w* stochastic_depth\w* layer_scale\w*
        init_(std|scale|range|type|values|method) initializer\w* resid\w* pretrain\w* checkpoint ckpt
        load_(from|path|model|checkpoint|weights) from_pretrained base_model\w* model\w* reset_params top_?k
        router\w* moe\w* expert\w* gating n_inner latent\w* codebook\w* memory bottleneck\w* growth_rate
        expansion\w* multiplier config_name decoder_\w+ encoder_\w+ trust_remote_code revision"""),
    ("objective", ANYWHERE_LAST, r"""
        label_smooth\w* smoothing kl_\w* kd_\w* \w*_(coef|coeff|coefficient|lambda) lambda\w* alpha\w* beta
        gamma lmbda epsilon margin temperature tau clip_(range|eps\w*|ratio)\w* vf_\w+ ent_\w+ entropy\w* gae\w*
        discount\w* target_kl cliprange\w* distill\w* neftune\w* reg\w* \w+_reg penal\w* \w+_penalty
        class_weights? pos_weight num_negatives contrastive\w* advantage\w* whiten\w* group_size grpo\w*
        num_generations box cls dfl average_tokens\w*"""),
)  # fmt: skip


def _field_table(**fields: str) -> FieldTable:
    return {name: role for role, names in fields.items() for name in names.split()}


TRAINING_ARGUMENTS = _field_table(
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

EARLIER_ARGUMENTS = _field_table(
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
"""Fields of `TrainingArguments` in other versions of transformers."""

TRAINER = _field_table(
    data="limit_train_batches overfit_batches reload_dataloaders_every_n_epochs use_distributed_sampler",
    optimiser="accumulate_grad_batches gradient_clip_val gradient_clip_algorithm",
    schedule="max_epochs min_epochs max_steps min_steps max_time",
    compute="""accelerator strategy devices num_nodes precision deterministic benchmark inference_mode plugins
    sync_batchnorm barebones""",
    run="""logger callbacks fast_dev_run limit_val_batches limit_test_batches limit_predict_batches val_check_interval
    check_val_every_n_epoch num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar
    enable_model_summary profiler detect_anomaly default_root_dir enable_autolog_hparams model_registry""",
)
ACCELERATOR = _field_table(
    data="split_batches dataloader_config",
    optimiser="gradient_accumulation_steps gradient_accumulation_plugin",
    schedule="step_scheduler_with_optimizer",
    compute="""device_placement mixed_precision cpu deepspeed_plugin deepspeed_plugins fsdp_plugin torch_tp_plugin
    megatron_lm_plugin rng_types kwargs_handlers dynamo_backend dynamo_plugin parallelism_config""",
    run="log_with project_dir project_config",
)
BY_TYPE: Mapping[str, FieldTable] = {
    "TrainingArguments": {**EARLIER_ARGUMENTS, **TRAINING_ARGUMENTS},
    "Trainer": TRAINER,
    "Accelerator": ACCELERATOR,
}


def role_of_path(path: Path) -> str:
    """Return the role of a setting by its path alone; `other` if no pattern matches.

    >>> role_of_path(("optimizer", "lr")), role_of_path(("num_epochs",)), role_of_path(("frobnicate",))
    ('optimiser', 'schedule', 'other')
    """
    return _role_of_text(normal_path(path))


@lru_cache(maxsize=65536)
def _role_of_text(text: str) -> str:
    return next((role for role, pattern in _compiled() if pattern.search(text)), OTHER)


@cache
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((role, re.compile(where.replace("{words}", _joined(words)))) for role, where, words in _RULES)


def _joined(words: str) -> str:
    """Join words to one pattern; a line that ends with a bar continues in the next."""
    return "|".join(re.sub(r"\|\s+", "|", words).split())


def normal_path(path: Iterable[object]) -> str:
    """Write a path in snake case with dots, without the indices of lists."""
    parts = (str(key) for key in path if type(key) is str)
    return ".".join(_snake(part) for part in parts if part not in ("_component_", "_target_", "class_path"))


@lru_cache(maxsize=65536)
def _snake(name: str) -> str:
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9.]+", "_", separated.lower()).strip("_.")


def table_of(kind: str, names: Collection[object]) -> FieldTable | None:
    """Find the field table of an object by its type's name, or of a plain dictionary by the fields that it has."""
    if kind.startswith("object "):
        name = kind.rpartition(".")[2]
        for known, table in BY_TYPE.items():
            if name == known or (known == "TrainingArguments" and name.endswith(known)):
                return table
    shared = sum(1 for name in names if type(name) is str and name in TRAINING_ARGUMENTS)
    return BY_TYPE["TrainingArguments"] if shared >= ENOUGH and 2 * shared >= len(names) else None
