//! What a pass does, given what the last one left behind. A function of values.

use std::time::Duration;

use apply::{object::ObjectId, repairs::Repairs};
use tokio::time::Instant;

use crate::{
    reconciler::State,
    run::{Inputs, Phase, Run},
};

/// What a pass does with a Kustomization.
pub(crate) enum Decision {
    /// The run that waits goes on.
    CarryOn(Box<Run>, Phase),
    /// A run begins.
    Begin {
        /// The run that is given up for it.
        replaced: Option<(Box<Run>, Phase)>,
        /// Whether what the watches prove to be unchanged need not be asked for.
        skip_unchanged: bool,
        /// Drifted objects, if they are the reason.
        drifted: Vec<ObjectId>,
    },
    /// Nothing is due before this much time has passed; the state stays.
    Rest(State, Duration),
}

/// What is known when a pass begins.
pub(crate) struct Situation<'a> {
    /// What a run would be for.
    pub inputs: &'a Inputs,
    /// Whether the source could be read; if not, the inputs lack its content.
    pub source_known: bool,
    /// The applied objects that are not as we left them.
    pub drifted: Vec<ObjectId>,
    pub repairs: &'a Repairs,
    pub now: Instant,
}

/// Decides.
pub(crate) fn decide(state: State, situation: Situation<'_>) -> Decision {
    let Situation { inputs, source_known, drifted, repairs, now } = situation;
    let begin = |skip_unchanged, drifted| Decision::Begin { replaced: None, skip_unchanged, drifted };
    match state {
        State::Running(run, phase) => {
            let running = &run.plan.inputs;
            // A source that cannot be read for the moment is no reason to give up what was fetched from it.
            if running == inputs || !source_known && running.match_but_for_content(inputs) {
                return Decision::CarryOn(run, phase);
            }
            Decision::Begin { replaced: Some((run, phase)), skip_unchanged: false, drifted: Vec::new() }
        }
        State::Done { inputs: before, due, succeeded } if before == *inputs => {
            let left = due.saturating_duration_since(now);
            let drifted = if succeeded { drifted } else { Vec::new() };
            let wait = if drifted.is_empty() { left } else { repairs.wait(&drifted, now).min(left) };
            if !wait.is_zero() {
                return Decision::Rest(State::Done { inputs: before, due, succeeded }, wait);
            }
            begin(true, if left.is_zero() { Vec::new() } else { drifted })
        }
        // New content or variables alone. Who changes the spec or asks for a run wants to see everything looked at.
        State::Done { inputs: before, .. } => {
            let Inputs { content, configs, .. } = inputs.clone();
            begin(Inputs { content, configs, ..before } == *inputs, Vec::new())
        }
        State::Idle | State::Blocked | State::Connecting(_) | State::Terminating { .. } => {
            begin(false, Vec::new())
        }
    }
}

#[cfg(test)]
mod tests;
