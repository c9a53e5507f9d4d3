//! What runs around handlers: filters that show their order and refuse on demand, and error handlers.

use shaddock_sdk::filter::Outcome;
use shaddock_sdk::prelude::*;

/// A filter with a name. It refuses a message that says so in `denyAt`; the log shows when it ran.
pub(crate) struct Order(pub(crate) &'static str);

/// The part of a message that filters look at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Denial {
    deny_at: Option<String>,
}

impl Filter for Order {
    fn before(&self, request: &mut Request, _: &mut Session) -> Result<()> {
        let Self(tag) = self;
        debug!("before {tag}");
        let denied = request.body::<Denial>().is_ok_and(|denial| denial.deny_at.as_deref() == Some(tag));
        if !denied {
            return Ok(());
        }
        Err(fail(403, format!("denied by {tag}")).answering(&json!({ "code": 403, "tag": tag })))
    }

    fn after(&self, _: &Request, _: &mut Session, outcome: &Outcome) -> Result<Option<Raw>> {
        let failure = outcome.as_ref().err().map(|error| &*error.message);
        debug!("after {}: {}", self.0, failure.unwrap_or("answered"));
        Ok(None)
    }
}

/// The error handler of the connectors' global filters: an answer that is there already stays.
pub(crate) fn global(request: &Request, _: &mut Session, error: &Error) -> Result<Raw> {
    given(error).map_or_else(|| Raw::of(&json!({ "code": 499, "geh": 1, "m": told(request, error) })), Ok)
}

/// The error handler of the areas. Only those whose id ends in 0 have one.
pub(crate) fn of_area(request: &Request, _: &mut Session, error: &Error) -> Result<Raw> {
    match given(error) {
        Some(answer) => Ok(answer),
        None if app::own_server().id.ends_with('0') => {
            Raw::of(&json!({ "code": 498, "eh": 1, "m": told(request, error) }))
        }
        None => Err(error.clone()),
    }
}

fn given(error: &Error) -> Option<Raw> {
    error.answer().map(|answer| Raw(answer.to_vec()))
}

/// The words of the failure, without the route that the log wants before them.
fn told<'a>(request: &Request, error: &'a Error) -> &'a str {
    let behind_route = error.message.strip_prefix(request.route());
    behind_route.and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Request {
        Request::new("connector.entryHandler.echo", body)
    }

    fn session() -> Session {
        Session::made_up("conn-1", 1, None, &[])
    }

    #[test]
    fn the_words_are_those_of_the_handler() {
        let request = request("{}");
        let of = |message: &str| told(&request, &fail(500, message)).to_owned();
        assert_eq!(of("connector.entryHandler.echo: boom"), "boom");
        assert_eq!(of("boom"), "boom");
    }

    #[test]
    fn an_answer_that_is_there_stays() {
        let refused = fail(403, "denied").answering(&json!({ "code": 403, "tag": "g1" }));
        let answer = global(&request("{}"), &mut session(), &refused);
        assert_eq!(answer.map(|answer| answer.0), Ok(br#"{"code":403,"tag":"g1"}"#.to_vec()));
        let answer = global(&request("{}"), &mut session(), &fail(500, "boom"));
        assert_eq!(answer.map(|answer| answer.0), Ok(br#"{"code":499,"geh":1,"m":"boom"}"#.to_vec()));
    }
}
