//! The web port: static files of the application's page, with headers that keep foreign code out of it.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
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

/// Serves the files below `root`.
pub(crate) fn router(root: &Path) -> Router {
    let mut router = Router::new().fallback_service(ServeDir::new(root));
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
        let served = tokio::spawn(crate::http::serve(listener, router(&root), shutdown.clone()));
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
    async fn nothing_beside_the_directory_is_served() {
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/missing"] {
            let response = get(path).await;
            assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response}");
            assert!(!response.contains("hidden"), "{path}: {response}");
        }
    }
}
