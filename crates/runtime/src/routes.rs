//! HTTP routes that are written down as they are added.
//!
//! Who may do what is a table that a test walks. A router cannot say what is in it, so the table
//! could miss a route; these can.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

/// Something that a server answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// All methods of a gRPC service.
    Grpc {
        /// Its full name, such as `zhili.metrics.v1.MetricsService`.
        service: &'static str,
        /// Needs no token.
        open: bool,
    },
    /// A route of HTTP.
    Http {
        /// `GET`, `POST`, `DELETE`.
        method: &'static str,
        /// With its parameters in braces.
        path: String,
        /// Needs no token.
        open: bool,
    },
}

/// Routes with the state `S` still to come.
#[derive(Clone, Debug)]
pub struct Routes<S = ()> {
    router: Router<S>,
    added: Vec<(&'static str, String)>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), added: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Answers `GET`, and `HEAD` with the same without its body.
    #[must_use]
    pub fn get<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("GET", path, on(MethodFilter::GET, handler))
    }

    /// Answers `POST`.
    #[must_use]
    pub fn post<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("POST", path, on(MethodFilter::POST, handler))
    }

    /// Answers `DELETE`.
    #[must_use]
    pub fn delete<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("DELETE", path, on(MethodFilter::DELETE, handler))
    }

    fn add(mut self, method: &'static str, path: &str, route: MethodRouter<S>) -> Self {
        self.added.push((method, path.to_owned()));
        Self { router: self.router.route(path, route), ..self }
    }

    /// Refuses larger bodies on the routes added so far.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        Self { router: self.router.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state<T>(self, state: S) -> Routes<T> {
        Routes { router: self.router.with_state(state), added: self.added }
    }

    /// These routes and others.
    #[must_use]
    pub fn merge(mut self, others: Self) -> Self {
        self.added.extend(others.added);
        Self { router: self.router.merge(others.router), ..self }
    }

    /// What was added.
    pub(crate) fn endpoints(&self, open: bool) -> impl Iterator<Item = Endpoint> {
        let added = self.added.iter();
        added.map(move |(method, path)| Endpoint::Http { method, path: path.clone(), open })
    }

    pub(crate) fn into_router(self) -> Router<S> {
        self.router
    }
}
