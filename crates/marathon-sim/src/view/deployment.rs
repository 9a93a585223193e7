//! Deployments (`core/deployment`, `DeploymentFormats`). Each is shown as one step.

use serde_json::{Value, json};

use crate::config::Generation;
use crate::store::{Action, Deployment, Store};

pub(crate) fn deployment(store: &Store, deployment: &Deployment) -> Value {
    let target = |action: &Action| if action.pod { "pod" } else { "app" };
    // 1.1 names the action by its type in the steps, later ones as everywhere.
    let key = if store.generation == Generation::V1_1 { "type" } else { "action" };
    let step = |action: &Action| json!({key: action.name, target(action): action.id});
    let current = |action: &Action| json!({"action": action.name, target(action): action.id, "readinessCheckResults": []});
    let affected = |pod: bool| -> Vec<&str> {
        let actions = deployment.actions.iter().filter(|action| action.pod == pod);
        actions.map(|action| action.id.as_str()).collect()
    };
    let mut view = json!({
        "id": deployment.id,
        "version": deployment.version.to_string(),
        "affectedApps": affected(false),
        "steps": [{"actions": deployment.actions.iter().map(step).collect::<Vec<Value>>()}],
        "currentActions": deployment.actions.iter().map(current).collect::<Vec<Value>>(),
        "currentStep": 1,
        "totalSteps": 1,
    });
    if store.generation.has_pods() {
        view["affectedPods"] = json!(affected(true));
    }
    view
}
