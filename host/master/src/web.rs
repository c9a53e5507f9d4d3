//! The web port: static files of the application's page, with headers that keep foreign code out of it.

use std::path::PathBuf;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// Sent with every file. The page's own scripts and styles only, and WebSockets to any server, because the gate
/// names the connector's address at run time.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Files change when the application is updated; browsers ask, and get 304 by modification time.
    (header::CACHE_CONTROL, "no-cache"),
];

/// A file that is served from memory.
#[derive(Clone, Debug)]
pub struct WebFile {
    /// Its path on the web port, with the slash that it begins with.
    pub path: String,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub content: String,
}

/// What the web port serves.
pub(crate) struct Pages {
    /// The directory of the application's page.
    pub(crate) root: Option<PathBuf>,
    /// What goes before files of the same path there.
    pub(crate) files: Vec<WebFile>,
}

/// Serves pages.
pub(crate) fn router(pages: Pages) -> Router {
    let mut router = Router::new();
    if let Some(root) = pages.root {
        router = router.fallback_service(ServeDir::new(root));
    }
    for file in pages.files {
        let content = ([(header::CONTENT_TYPE, file.media_type)], Bytes::from(file.content));
        router = router.route(&file.path, get(move || std::future::ready(content.clone())));
    }
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)));
    }
    router
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Serves a directory with a page, and a file beside it that is none of the web's business.
    async fn get(path: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("web");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("index.html"), "the page").unwrap();
        std::fs::write(dir.path().join("secret"), "hidden").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let files =
            vec![WebFile { path: "/dev/".into(), media_type: "text/html", content: "from memory".into() }];
        let router = router(Pages { root: Some(root), files });
        let served = tokio::spawn(crate::http::serve(listener, router, shutdown.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(1), served).await.unwrap().unwrap();
        response
    }

    #[tokio::test]
    async fn the_page_comes_with_its_headers() {
        let response = get("/").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(response.ends_with("the page"), "{response}");
        for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'self';"] {
            assert!(response.contains(header), "{header} is missing in {response}");
        }
    }

    #[tokio::test]
    async fn files_from_memory_come_with_the_same_headers() {
        let response = get("/dev/").await;
        assert!(response.ends_with("from memory"), "{response}");
        for header in ["content-type: text/html", "x-content-type-options: nosniff"] {
            assert!(response.contains(header), "{header} is missing in {response}");
        }
    }

    #[tokio::test]
    async fn nothing_beside_the_directory_is_served() {
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/missing"] {
            let response = get(path).await;
            assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response}");
            assert!(!response.contains("hidden"), "{path}: {response}");
        }
    }
}
