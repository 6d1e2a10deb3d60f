//! Where a run's questions go: those about the load to the load store, all others to the Prometheus that it names.

use std::sync::Arc;

use loadtest_core::{
    k6::{
        question::Request,
        store::{ReadsBoth, Store, store_of},
    },
    plan::Plan,
    prometheus::ask::Answer,
};

use crate::{
    context::Context,
    prometheus::{Prometheus, Purpose, QueryError},
};

#[derive(Clone)]
pub struct Stores {
    context: Arc<Context>,
    /// As the LoadTest has it.
    system: String,
}

impl Stores {
    pub fn of(context: &Arc<Context>, plan: &Plan) -> Self {
        Self { context: context.clone(), system: plan.prometheus.clone() }
    }

    pub fn load(&self) -> &Prometheus {
        &self.context.load_store
    }

    /// The one that knows the system under test.
    pub fn system(&self) -> Result<&Prometheus, QueryError> {
        self.context.prometheus.get(&self.system).ok_or_else(|| {
            let known = self.context.prometheus.keys().cloned().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {known}") };
            QueryError::Refused(format!(
                "there is no Prometheus {} in the operator's configuration ({known}): add it under the value prometheus of \
                 the operator's chart, or name another in spec.prometheus",
                self.system
            ))
        })
    }

    pub async fn answer(&self, request: &Request, purpose: Purpose) -> Result<Answer, QueryError> {
        self.at(request.question.store())?.answer(request, purpose).await
    }

    /// Asks for now.
    pub async fn query(&self, query: &str) -> Result<Answer, QueryError> {
        self.at(store_of(query))?.query(query).await
    }

    fn at(&self, store: Result<Store, ReadsBoth>) -> Result<&Prometheus, QueryError> {
        match store.map_err(|both| QueryError::Refused(both.to_string()))? {
            Store::Load => Ok(self.load()),
            Store::System => self.system(),
        }
    }
}
