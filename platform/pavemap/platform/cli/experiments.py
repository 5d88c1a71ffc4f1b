"""The paper's table and studies: `experiment NAME`, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pavemap.platform.cli.console import note, print_table, progress_bars, say


def experiment(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which one; --list names them.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")] = Path("../shared/data"),
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where runs and reports are kept.")
    ] = Path(".cache/experiments"),
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations of a training; else the study's own.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds of the trainings, as 0,1,2; else the study's own.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of a cross-validation.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs at once, each in a process; a GPU takes several.")
    ] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="Train and test networks on the GPU.")] = False,
    stride: Annotated[
        int,
        typer.Option(min=1, max=4, help="Test the paper's network on every n-th pixel: 1, 2, 4."),
    ] = 1,
    symmetries: Annotated[
        int,
        typer.Option(help="Test a configuration's network on 1, 4 or 8 symmetries of an image."),
    ] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Only runs whose name holds this; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A finished model for the paper's table; repeatable.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="A configuration for the paper's table or a study of one; repeatable."),
    ] = None,
    survey_config: Annotated[Path, typer.Option(help="The configuration of leave-one-out.")] = Path(
        "training/configs/survey-unet.toml"
    ),
    aiglern: Annotated[
        Path | None, typer.Option(help="Folder of the AigleRN images, for the paper's table.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report", help="Run nothing, write the report of what was done.")
    ] = False,
) -> None:
    """Run one of the paper's experiments; the same command goes on where it was interrupted."""
    from pavemap.training.experiments.plan import Options, perform, write_report
    from pavemap.training.experiments.registry import (
        EXPERIMENTS,
        find_experiment,
        refuse_untaken,
    )

    if show or name is None:
        print_table(
            ["experiment", "what it does"], [[e.name, e.about] for e in EXPERIMENTS.values()]
        )
        return
    chosen = find_experiment(name)
    refuse_untaken(chosen, _given(context))
    options = Options(
        data=data,
        output=output,
        iterations=iterations,
        seeds=_seeds(seeds),
        folds=folds,
        threads=threads,
        jobs=jobs,
        gpu=gpu,
        stride=stride,
        symmetries=symmetries,
        only=tuple(only or ()),
        models=tuple(model or ()),
        configs=tuple(config or ()),
        survey_config=survey_config,
        aiglern=aiglern,
    )
    if report_only:
        path = write_report(chosen, options)
    else:
        with progress_bars() as bars:
            task = bars.add_task(name, total=None)
            path = perform(
                chosen,
                options,
                on_run=lambda key, done, total: bars.update(
                    task, description=key, completed=done, total=total
                ),
            )
    say(path.read_text(encoding="utf-8"))
    note(f"written to {path}")


def _given(context: typer.Context) -> set[str]:
    """Return the options that the command was given, without their dashes."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name.replace("_", "-")
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no list of seeds like 0,1,2") from exc
