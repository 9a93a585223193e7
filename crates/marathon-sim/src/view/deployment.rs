//! JSON of deployments (`core/deployment`, `DeploymentFormats`). Each has one step.

use serde_json::{Value, json};

use crate::config::Generation;
use crate::store::{Action, Deployment, Store};

fn target_kind(action: &Action) -> &'static str {
    if action.pod { "pod" } else { "app" }
}

/// Returns the plan of a deployment, as in light events.
pub(crate) fn deployment_plan(store: &Store, deployment: &Deployment) -> Value {
    // In the steps 1.1 calls the action `type`.
    let key = if store.generation == Generation::V1_1 { "type" } else { "action" };
    let step = |action: &Action| json!({key: action.name, target_kind(action): action.id});
    json!({
        "id": deployment.id,
        "version": deployment.version.to_string(),
        "steps": [{"actions": deployment.actions.iter().map(step).collect::<Vec<Value>>()}],
    })
}

pub(crate) fn deployment_status(store: &Store, deployment: &Deployment) -> Value {
    let mut view = deployment_plan(store, deployment);
    let current = |action: &Action| json!({"action": action.name, target_kind(action): action.id, "readinessCheckResults": []});
    let affected = |pod: bool| -> Vec<&str> {
        let actions = deployment.actions.iter().filter(|action| action.pod == pod);
        actions.map(|action| action.id.as_str()).collect()
    };
    view["affectedApps"] = json!(affected(false));
    view["currentActions"] = deployment.actions.iter().map(current).collect();
    view["currentStep"] = json!(1);
    view["totalSteps"] = json!(1);
    if store.generation.has_pods() {
        view["affectedPods"] = json!(affected(true));
    }
    view
}
