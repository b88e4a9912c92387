//! Sets the stage: a folder, the lab, its users, the documents as files that can be read and run again by hand.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bascule_lab::{Lab, LabHandle, LabOptions};
use serde_json::json;

use super::mishap::Mishap;
use super::{called, program, quoted};
use crate::cli::Ctx;
use crate::cli::error::CliError;
use crate::cli::inputs::{self, ExtraArgs, InputArgs};
use crate::cli::lab::PREFIX;
use crate::cli::style::{BOLD, DIM};
use crate::cli::text::{columns, wrap};
use crate::plan::Plan;

/// The founding runbook, as it stands.
const RUNBOOK: &str = include_str!("../../../runbooks/customer-analytics-api.yaml");
/// What shortens its times.
const OVERLAY: &str = include_str!("../../../runbooks/demo-overlay.yaml");

/// Users, and the pause between two orders of one.
const USERS: u32 = 4;
const EVERY_MS: u64 = 60;

/// A demo that is set up.
pub(super) struct Stage {
    /// Everything is below it.
    pub(super) base: PathBuf,
    /// The state directory.
    pub(super) state: PathBuf,
    /// The data centre.
    pub(super) lab: LabHandle,
    fast: bool,
}

impl Stage {
    /// Starts the lab and its users.
    pub(super) async fn set_up(ctx: &Ctx, fast: bool) -> Result<Self, CliError> {
        let base = match &ctx.given_state {
            Some(state) => state.clone(),
            None => std::env::temp_dir().join(format!("bascule-demo-{}", std::process::id())),
        };
        let unusable = |error| CliError::new(format!("the folder {} cannot be used", base.display())).because(error);
        // It holds a journal: nobody else reads it.
        DirBuilder::new().recursive(true).mode(0o700).create(&base).map_err(unusable)?;
        let dir = base.join("lab");
        if dir.join(bascule_lab::SITE).exists() {
            return Err(CliError::new(format!("{} holds a demo already", base.display())).hint(format!(
                "end it with `{} lab stop --dir {}` and remove the folder, or take another one with --state",
                called(),
                quoted(&dir)
            )));
        }
        let options = LabOptions { backup_every_ms: 1500, ..LabOptions::default() };
        let failed = |error| CliError::new("the data centre of the demo cannot be started").because(error);
        let lab = Lab::start(&program()?, &[PREFIX], &dir, &options).await.map_err(failed)?;
        let stage = Self { state: base.clone(), base, lab, fast };
        let ready = stage.furnish().await;
        if let Err(error) = ready {
            stage.clear().await?;
            return Err(error);
        }
        Ok(stage)
    }

    async fn furnish(&self) -> Result<(), CliError> {
        self.lab
            .start_users(USERS, EVERY_MS)
            .await
            .map_err(|error| CliError::new("the users of the demo cannot be started").because(error))?;
        let inputs = serde_json::to_string_pretty(&json!({ "kind": "Overlay", "inputs": self.lab.site.inputs }))
            .map_err(|error| CliError::new("the inputs of the demo cannot be written").because(error))?;
        for (path, text) in [(self.runbook(), RUNBOOK), (self.overlay(), OVERLAY), (self.inputs(), &inputs)] {
            std::fs::write(&path, text)
                .map_err(|error| CliError::new(format!("{} cannot be written", path.display())).because(error))?;
        }
        Ok(())
    }

    /// The runbook, as a file.
    pub(super) fn runbook(&self) -> PathBuf {
        self.base.join("customer-analytics-api.yaml")
    }

    fn overlay(&self) -> PathBuf {
        self.base.join("demo-overlay.yaml")
    }

    /// Where the lab's services are: JSON is YAML.
    fn inputs(&self) -> PathBuf {
        self.base.join("lab-inputs.yaml")
    }

    /// Compiles the runbook as `run` does.
    pub(super) async fn plan(&self, ctx: &Ctx) -> Result<Plan, CliError> {
        let text = |path: PathBuf| path.display().to_string();
        let extra = ExtraArgs {
            overlays: vec![text(self.overlay()), text(self.inputs())],
            settings: if self.fast { vec!["rollbackWindow=15s".to_owned()] } else { Vec::new() },
            catalogs: vec!["lab".to_owned()],
        };
        let args = InputArgs { runbook: text(self.runbook()), extra };
        Ok(inputs::runnable(ctx, &args).await?.plan)
    }

    /// The arguments with which `plan`, `check` and `run` do the same by hand.
    pub(super) fn by_hand(&self) -> String {
        let path = |path: &Path| quoted(path);
        format!(
            "{} \\\n    --catalog lab -f {} \\\n    -f {}",
            path(&self.runbook()),
            path(&self.overlay()),
            path(&self.inputs())
        )
    }

    /// Ends everything that was started. Journal and report stay; the data centre's disks do not.
    pub(super) async fn clear(self) -> Result<(), CliError> {
        let dir = self.lab.dir.clone();
        self.lab.stop().await.map_err(|error| {
            CliError::new("the data centre of the demo could not be stopped").because(error).hint(format!(
                "`{} lab stop --dir {}` tries again",
                called(),
                quoted(&dir)
            ))
        })?;
        std::fs::remove_dir_all(&dir)
            .map_err(|error| CliError::new(format!("{} cannot be removed", dir.display())).because(error))
    }
}

/// Says who is who, and what will happen.
pub(super) fn introduce(ctx: &Ctx, stage: &Stage, mishap: Option<Mishap>) {
    let lab = &stage.lab;
    let vm = &lab.site.vm;
    let say = |text: &str| ctx.ui.line(text);
    say(&format!("{BOLD}A cutover of customer-analytics-api, on a small data centre on this machine{BOLD:#}\n"));
    say(&format!("  source platform  {}   {vm} runs here", lab.url("sourceApi")));
    say(&format!("  target platform  {}   {vm} shall run here", lab.url("targetApi")));
    say(&format!("  users            {}   {USERS} people order all along", lab.url("vip")));
    say(&format!("  files            {}\n", stage.base.display()));
    let paragraph = |text: &str| wrap(text, columns()).iter().for_each(|line| say(line));
    paragraph(
        "The runbook is runbooks/customer-analytics-api.yaml, unchanged: it only names its steps. The catalog `lab` says how \
         they are done here; an overlay makes the 90 minutes of the rollback window 25 seconds. The same by hand:",
    );
    say(&format!("{DIM}  {} plan \\\n    {}{DIM:#}\n", called(), stage.by_hand()));
    if let Some(mishap) = mishap {
        paragraph(&format!(
            "After users have moved, something goes wrong. The criterion {} should notice; the run then goes back by itself \
             and brings home what users wrote meanwhile.",
            mishap.criterion()
        ));
    }
}
