"""The bundle as a workflow in Python."""

from monai.bundle import create_workflow

from tests.stages import ROOT, as_if_a_process_ended


def test_a_workflow_can_be_created_inspected_changed_and_run(cohort):
    with as_if_a_process_ended():
        workflow = create_workflow(
            config_file=str(ROOT / "bundle" / "configs" / "pretrain.yaml"),
            workflow_type="train",
            logging_file=False,
            dataset_dir=str(cohort),
            attention_dir=str(cohort / "labels"),
            widths=[4, 8, 8, 16],
            epoch_length=3,
        )
        assert len(workflow.train_dataset) > 100
        workflow.max_epochs = 1
        workflow.initialize()
        workflow.run()
        assert workflow.trainer.state.epoch == 1
        assert workflow.trainer.state.iteration == 3
        workflow.finalize()
    assert (cohort / "models" / "encoder.pt").is_file()
