//! What can go wrong on the target once users are there.

use bascule_lab::{Fault, FaultKind};

use super::stage::Stage;
use crate::cli::error::CliError;

/// A fault, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mishap {
    /// Every answer of the target takes 1.2 s more.
    Latency,
    /// The target answers most requests with an error.
    Errors,
    /// The target takes requests and never answers.
    Hang,
    /// The target refuses connections.
    Refuse,
    /// Backups of the target fail.
    Backup,
}

impl Mishap {
    /// What the user reads when it strikes.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Latency => "the demo makes the target slow: every answer takes 1.2 s more",
            Self::Errors => "the demo breaks the target: nine of ten requests end in an error",
            Self::Hang => "the demo hangs the target: it takes requests and never answers",
            Self::Refuse => "the demo closes the target's port: connections are refused",
            Self::Backup => "the demo breaks the backups: every job on the target fails",
        }
    }

    /// The criterion that should notice.
    pub(super) fn criterion(self) -> &'static str {
        match self {
            Self::Latency => "sustained_latency_regression",
            Self::Errors | Self::Hang | Self::Refuse => "app_health_check_failure",
            Self::Backup => "target_backup_failure",
        }
    }

    pub(super) async fn strike(self, stage: &Stage) -> Result<(), CliError> {
        let machine = format!("vm:target/{}", stage.lab.site.vm);
        let fault = match self {
            Self::Latency => Fault::new(machine, FaultKind::Latency).value(1200.0),
            Self::Errors => Fault::new(machine, FaultKind::Errors).value(0.9),
            Self::Hang => Fault::new(machine, FaultKind::Hang),
            Self::Refuse => Fault::new(machine, FaultKind::Refuse),
            Self::Backup => Fault::new("backup", FaultKind::Errors),
        };
        let answer = stage.lab.inject(&fault).await;
        answer.map(drop).map_err(|error| CliError::new("the fault cannot be caused").because(error))
    }
}
