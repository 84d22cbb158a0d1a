run         = ["/usr/bin/app", "--name", "the app"]
ports       = [3000]
domain      = "app.example.com"
app_sources = ["https://git.example.com/app"]
memory      = 8192

network {
  http {
    e2e_encryption {
      mode         = "optional"
      key_exchange = ["XWING", "x25519-aes256gcm"]
      cors_origins = [
        "https://app.example.com",
        "https://www.example.com",
      ]
    }
  }
}
