//! actix-session with Redis, as a server. Default settings: the cookie is encrypted.

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::error::{ErrorServiceUnavailable, ErrorUnauthorized};
use actix_web::{App, Error, HttpRequest, HttpServer, web};
use peer_common::{Arguments, HELLO, announce, greeting, input_ends, pin};

fn main() {
    let arguments = Arguments::of_this_program();
    pin(arguments.cpu);
    actix_web::rt::System::new().block_on(async {
        let store = RedisSessionStore::new(arguments.redis()).await.expect("Redis");
        let key = Key::generate();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(SessionMiddleware::new(store.clone(), key.clone()))
                .route("/hello", web::get().to(|| async { HELLO }))
                .route("/read", web::get().to(read))
                .route("/write", web::post().to(write))
                .route("/rotate", web::post().to(rotate))
                .route("/sign-in", web::post().to(sign_in))
        });
        // The others take their turns meanwhile.
        let server = server.workers(1).keep_alive(std::time::Duration::from_secs(600));
        let server = server.bind("127.0.0.1:0").expect("a port");
        announce(server.addrs().first().expect("an address").port());
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            input_ends().await;
            handle.stop(false).await;
        });
        server.await.expect("serving");
    });
}

async fn read(session: Session) -> Result<String, Error> {
    let name: Option<String> = session.get(USER).map_err(ErrorServiceUnavailable)?;
    name.as_deref().map(greeting).ok_or_else(|| ErrorUnauthorized(""))
}

async fn write(session: Session) -> Result<String, Error> {
    let count = session.get::<u64>(COUNT).map_err(ErrorServiceUnavailable)?.unwrap_or_default() + 1;
    session.insert(COUNT, count).map_err(ErrorServiceUnavailable)?;
    Ok(count.to_string())
}

async fn rotate(session: Session) -> Result<String, Error> {
    session.renew();
    write(session).await
}

async fn sign_in(session: Session, request: HttpRequest) -> Result<String, Error> {
    let name = request.query_string();
    session.renew();
    session.insert(USER, name).map_err(ErrorServiceUnavailable)?;
    Ok(greeting(name))
}

const USER: &str = "user";
const COUNT: &str = "count";
