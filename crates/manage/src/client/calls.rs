//! What can be asked of a server: a function for each call of the API that anything of ours makes.

use axum::body::Body;
use gatepost_tracking::DecisionId;
use hyper::Method;
use hyper::body::Bytes;

use super::{Client, ClientError, path_of, path_with};
use crate::asked::ExplanationQuery;
use crate::decision::DecisionDetail;
use crate::explained::Explained;
use crate::recomputed::DecisionExplained;
use crate::resource::{
    Acts, ActsQuery, AdministratorRequest, AdministratorShown, Administrators, Amended, CommandAnswer, CommandRequest,
    DifferenceQuery, Exposed, ExposureMap, ExposureQuery, Gone, HostAddressesShown, MapQuery, MessageDetail,
    MessagesChanged, MessagesRequest, NewAdministratorRequest, NewToken, NewTokenRequest, QueueListing, QueueQuery,
    QueuesChanged, QueuesListing, QueuesQuery, QueuesRequest, Reloaded, RemoveQuery, Removed, ReportKey, ReportQuery,
    RestoreRequest, Retried, RetryRequest, RevisionDifference, RevisionText, Revisions, RevisionsQuery, SessionBegun,
    SessionRequest, SessionShown, SettingsDocument, SettingsQuery, SettingsRequest, SetupRequest, Status, Tokens,
    TransactionRequest,
};
use crate::trace::{EraseRequest, ErasedAddress, TraceQuery, Traced};
use crate::transcript::TranscriptQuery;

impl Client {
    /// How the server is doing.
    ///
    /// # Errors
    /// [`ClientError`], as for every call.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/status").await
    }

    /// Runs a command of the registry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn command(&self, name: &str, request: &CommandRequest) -> Result<CommandAnswer, ClientError> {
        self.call(Method::POST, &path_of("/commands/", name), Some(request)).await
    }

    /// Runs commands that change settings, as one revision or not at all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn commands(&self, request: &TransactionRequest) -> Result<CommandAnswer, ClientError> {
        self.call(Method::POST, "/transactions", Some(request)).await
    }

    /// What one command answers, as it came.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn command_body(&self, name: &str, request: &CommandRequest) -> Result<Bytes, ClientError> {
        self.call_for(Method::POST, &path_of("/commands/", name), Some(request)).await.map(|(_, body)| body)
    }

    /// Messages that are not at their end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self, query: &QueueQuery) -> Result<QueueListing, ClientError> {
        self.get(&path_with("/queue", query)).await
    }

    /// What happened.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(&self, query: &TraceQuery) -> Result<Traced, ClientError> {
        self.get(&path_with("/trace", query)).await
    }

    /// Takes an address out of everything that is recorded. May take minutes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self, request: &EraseRequest) -> Result<ErasedAddress, ClientError> {
        self.call(Method::POST, "/trace/erase", Some(request)).await
    }

    /// Every delivery queue that matches.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queues(&self, query: &QueuesQuery) -> Result<QueuesListing, ClientError> {
        self.get(&path_with("/queues", query)).await
    }

    /// Suspends, resumes, retries or resubmits queues.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_queues(&self, request: &QueuesRequest) -> Result<QueuesChanged, ClientError> {
        self.call(Method::POST, "/queues", Some(request)).await
    }

    /// Suspends, resumes, redirects or removes messages.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_messages(&self, request: &MessagesRequest) -> Result<MessagesChanged, ClientError> {
        self.call(Method::POST, "/queue/change", Some(request)).await
    }

    /// A suspended message as a file.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 or 409.
    pub async fn export(&self, id: u64) -> Result<Vec<u8>, ClientError> {
        self.file(&format!("/queue/{id}/export")).await
    }

    /// One message with its header section.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn message(&self, id: u64) -> Result<MessageDetail, ClientError> {
        self.get(&format!("/queue/{id}")).await
    }

    /// Makes one message due now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry_message(&self, id: u64) -> Result<Retried, ClientError> {
        self.call(Method::POST, &format!("/queue/{id}/retry"), None::<&()>).await
    }

    /// Makes many messages due now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry(&self, request: &RetryRequest) -> Result<Retried, ClientError> {
        self.call(Method::POST, "/queue/retry", Some(request)).await
    }

    /// Takes a message out of the queue.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, id: u64, query: RemoveQuery) -> Result<Removed, ClientError> {
        self.call(Method::DELETE, &format!("/queue/{id}?report={}", query.report), None::<&()>).await
    }

    /// The record of a decision, with the settings that it was taken under.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if there is no record.
    pub async fn decision(&self, id: DecisionId) -> Result<DecisionDetail, ClientError> {
        self.get(&format!("/decisions/{id}")).await
    }

    /// The same, explained.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if there is no record.
    pub async fn decision_explained(&self, id: &str) -> Result<DecisionExplained, ClientError> {
        self.get(&format!("{}/explanation", path_of("/decisions/", id))).await
    }

    /// What would become of a message.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explanation(&self, query: &ExplanationQuery) -> Result<Explained, ClientError> {
        self.get(&path_with("/explanation", query)).await
    }

    /// Who may relay: one page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure(&self, query: &ExposureQuery) -> Result<Exposed, ClientError> {
        self.get(&path_with("/exposure", query)).await
    }

    /// The addresses of the server's machine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn host_addresses(&self) -> Result<HostAddressesShown, ClientError> {
        self.get("/exposure/host").await
    }

    /// The same as a map of addresses.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure_map(&self, query: &MapQuery) -> Result<ExposureMap, ClientError> {
        self.get(&path_with("/exposure/map", query)).await
    }

    /// The same as a file to be kept, byte by byte as its digest in the record of acts has it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure_report(&self, query: &ReportQuery) -> Result<Vec<u8>, ClientError> {
        self.file(&path_with("/exposure/report", query)).await
    }

    /// The public key by which others know that such a file is this server's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report_key(&self) -> Result<ReportKey, ClientError> {
        self.get("/exposure/report/key").await
    }

    /// Everybody who may administer by name and password.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn administrators(&self) -> Result<Administrators, ClientError> {
        self.get("/administrators").await
    }

    /// Adds an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_administrator(
        &self,
        request: &NewAdministratorRequest,
    ) -> Result<AdministratorShown, ClientError> {
        self.call(Method::POST, "/administrators", Some(request)).await
    }

    /// Changes an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_administrator(
        &self,
        name: &str,
        request: &AdministratorRequest,
    ) -> Result<AdministratorShown, ClientError> {
        self.call(Method::PATCH, &path_of("/administrators/", name), Some(request)).await
    }

    /// Removes an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_administrator(&self, name: &str) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, &path_of("/administrators/", name), None::<&()>).await
    }

    /// Begins a session by name, password and code.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 401 where that proves nothing, 429 after too many failures.
    pub async fn begin_session(&self, request: &SessionRequest) -> Result<SessionBegun, ClientError> {
        self.call(Method::POST, "/session", Some(request)).await
    }

    /// Who is asking, and what they may do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self) -> Result<SessionShown, ClientError> {
        self.get("/session").await
    }

    /// Ends the session that is asking.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end_session(&self) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, "/session", None::<&()>).await
    }

    /// Makes the first administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_up(&self, request: &SetupRequest) -> Result<AdministratorShown, ClientError> {
        self.call(Method::POST, "/setup", Some(request)).await
    }

    /// Every token, without its secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self) -> Result<Tokens, ClientError> {
        self.get("/tokens").await
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_token(&self, request: &NewTokenRequest) -> Result<NewToken, ClientError> {
        self.call(Method::POST, "/tokens", Some(request)).await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_token(&self, id: &str) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, &path_of("/tokens/", id), None::<&()>).await
    }

    /// What administrators did.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn acts(&self, query: &ActsQuery) -> Result<Acts, ClientError> {
        self.get(&path_with("/acts", query)).await
    }

    /// Makes the server read its settings file again.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems of the file if it has some.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.call(Method::POST, "/reload", None::<&()>).await
    }

    /// The history of settings.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revisions(&self, query: RevisionsQuery) -> Result<Revisions, ClientError> {
        self.get(&path_with("/revisions", &query)).await
    }

    /// One revision with its document.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if it is not kept.
    pub async fn revision(&self, number: u64) -> Result<RevisionText, ClientError> {
        self.get(&format!("/revisions/{number}")).await
    }

    /// The settings document in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settings(&self) -> Result<SettingsDocument, ClientError> {
        self.get("/settings").await
    }

    /// The same without its text, where that has more than so many bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settings_up_to(&self, bytes_max: usize) -> Result<SettingsDocument, ClientError> {
        self.get(&path_with("/settings", &SettingsQuery { bytes_max: Some(bytes_max) })).await
    }

    /// Puts a whole settings document in force, or tells what it would do.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems that it has, with 412 where another revision is in force than it was
    /// made from.
    pub async fn put_settings(&self, request: &SettingsRequest) -> Result<Amended, ClientError> {
        self.call(Method::PUT, "/settings", Some(request)).await
    }

    /// What two revisions have in common and what not; `None` stands for what is in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revision_difference(&self, old: u64, new: Option<u64>) -> Result<RevisionDifference, ClientError> {
        self.get(&path_with(&format!("/revisions/{old}/difference"), &DifferenceQuery { new })).await
    }

    /// Puts an earlier revision in force again.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems that the document has today, with 412 where another revision is in force than
    /// was looked at.
    pub async fn restore(&self, number: u64, request: &RestoreRequest) -> Result<Amended, ClientError> {
        self.call(Method::POST, &format!("/revisions/{number}/restore"), Some(request)).await
    }

    /// What happens from now on: the answer of `GET /events`, as it comes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self) -> Result<Body, ClientError> {
        self.listen("/events").await
    }

    /// What is said on connections that begin from now on: the answer of `GET /transcript`, as it comes.
    /// [`TranscriptReader`](crate::transcript::TranscriptReader) reads it.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 400 or 404 where the query names nothing that there is, 503 where too many listen.
    pub async fn transcript(&self, query: &TranscriptQuery) -> Result<Body, ClientError> {
        self.listen(&path_with("/transcript", query)).await
    }
}
