use crate::args::RequestArgs;
use crate::data::Data;
use crate::exit::Failure;
use crate::output::{Output, printable};
use crate::{connect, report};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use std::io::Write;
use steve_sdk::{Body, Origin, Receipt, RequestBody};

/// `steve request`: the response body is the output, everything else goes to standard error.
pub(crate) async fn run(args: RequestArgs) -> Result<(), Failure> {
    let (origin, rest) = Origin::split(&args.url).map_err(Failure::usage)?;
    let origin = origin.to_string();
    let client = connect::client(&args.common, &origin)?;
    let request = request(&args, rest).await?;

    let verified = client.verify().await;
    report::print(args.common.json, &origin, verified.as_ref());
    verified?;
    let response = client.request(request).await?;
    if args.common.verbose {
        print_head(&response);
    }
    let status = response.status().as_u16();
    if args.fail && status >= 400 {
        return Err(Failure::Status(status));
    }

    let mut output = Output::open(args.output.as_deref())?;
    let mut body = response.into_body();
    while let Some(chunk) = body.chunk().await? {
        output.write(&chunk)?;
    }
    output.finish()
}

/// The request that the arguments describe; `rest` is what follows the origin in the URL.
async fn request(args: &RequestArgs, rest: &str) -> Result<Request<RequestBody>, Failure> {
    let target = rest.split('#').next().unwrap_or_default();
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let uri = target
        .parse()
        .map_err(|_| Failure::Usage(format!("\"{target}\" is not a valid path and query")))?;
    let data = match &args.data {
        Some(argument) => Some(Data::open(argument).await?),
        None => None,
    };
    let method = match (&args.method, &data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for (name, value) in &args.headers {
        request.headers_mut().append(name.clone(), value.clone());
    }
    if let Some(Data { body, length }) = data {
        *request.body_mut() = body;
        if let Some(length) = length {
            request.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
        }
    }
    Ok(request)
}

fn print_head(response: &Response<Body>) {
    let mut text = String::new();
    if let Some(receipt) = response.extensions().get::<Receipt>() {
        let (session, stream) = (receipt.session_id(), receipt.stream_id());
        text += &format!("* session {session}, stream {stream}, {}\n", receipt.suite());
    }
    text += &format!("< HTTP {}\n", response.status());
    for (name, value) in response.headers() {
        text += &format!("< {name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = std::io::stderr().write_all(printable(&text).as_bytes());
}
