using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

namespace Proxy.Tests.EndToEnd;

/// <summary>The configurations of docs/reverse-proxies.md do what the page says; only ports and paths are changed.</summary>
[Trait("Category", "System")]
public sealed partial class ReverseProxyTests : IAsyncLifetime
{
    private const string PageKey = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    private const string Key = "pxy-test";
    private static readonly string Page = Repository.Read("docs/reverse-proxies.md");

    private readonly string folder = Directory.CreateTempSubdirectory("reverse-proxy-").FullName;
    private readonly FakeBackend host = FakeBackend.Start();
    private readonly List<IAsyncDisposable> started = [];

    public static TheoryData<string> Servers => ["nginx", "haproxy", "caddy"];

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var one in Enumerable.Reverse(started)) await one.DisposeAsync();
        await host.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Call_comes_through_its_key_and_a_large_body_pass(string server)
    {
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        using var client = await StartAsync(server, keys: true);
        var large = OpenAi.Request("m").Replace("hello", new string('x', 20 << 20), StringComparison.Ordinal);

        using var without = await client.SendAsync(Chat(OpenAi.Request("m")), TestContext.Current.CancellationToken);
        using var with = await client.SendAsync(
            Chat(large, ("Authorization", $"Bearer {Key}"), ("session_id", "codex")), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.Unauthorized, without.StatusCode);
        Assert.Equal(HttpStatusCode.OK, with.StatusCode);
        Assert.Contains("fine", await with.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Equal("codex", with.Headers.GetValues("x-session-id").Single());
        Assert.True(Assert.Single(host.Calls).Body.Length > 20 << 20);
    }

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Page_of_the_public_url_calls_without_a_key_It_is_one_of_ours_and_another_is_not(string server)
    {
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        using var client = await StartAsync(server, keys: false);

        using var own = await client.SendAsync(Chat(OpenAi.Request("m"), ("Origin", "https://ai.example")), TestContext.Current.CancellationToken);
        using var foreign = await client.SendAsync(Chat(OpenAi.Request("m"), ("Origin", "https://evil.example")), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, own.StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, foreign.StatusCode);
        if (server == "caddy") return; // it serves only its configured names
        client.DefaultRequestHeaders.Host = "evil.example";
        using var rebound = await client.SendAsync(Chat(OpenAi.Request("m"), ("Origin", "https://evil.example")), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, rebound.StatusCode);
        Assert.Contains("[server] public_urls", await rebound.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Host_streams_Each_token_arrives_at_once_and_the_clients_leaving_too(string server)
    {
        var go = new TaskCompletionSource();
        host.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("first "));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("second"));
            await exchange.StallAsync();
        });
        using var client = await StartAsync(server, keys: false);
        foreach (var (path, body) in new[] { ("/v1/chat/completions", OpenAi.Request("m", stream: true)), ("/api/chat", Ollama.Request("m", stream: true)) })
        {
            var arrival = host.NextCallAsync();
            var response = await client.SendAsync(Post(path, body), HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
            var stream = await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken);
            await UntilAsync(stream, "first ");
            go.SetResult();
            await UntilAsync(stream, "second");

            response.Dispose();

            await Patience.For((await arrival).Gone, "the host's cancellation");
            go = new();
            host.Once(async exchange =>
            {
                await exchange.HeadAsync(OpenAi.Sse);
                await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("first "));
                await go.Task;
                await exchange.ChunkAsync(OpenAi.Token("second"));
                await exchange.StallAsync();
            });
        }
    }

    /// <summary>Starts the proxy with the page's TOML and the server with the page's configuration. The client resolves <c>ai.example</c> to it.</summary>
    private async Task<HttpClient> StartAsync(string server, bool keys)
    {
        var program = new[] { $"/usr/sbin/{server}", $"/usr/bin/{server}" }.FirstOrDefault(File.Exists);
        Assert.SkipUnless(program is not null, $"needs {server}: ./build.sh setup test");

        var toml = Block("toml").Replace(":11435", ":0", StringComparison.Ordinal).Replace(PageKey, ApiKeyConfig.Digest(Key), StringComparison.Ordinal);
        if (!keys) toml = toml[..toml.IndexOf("[[auth.keys]]", StringComparison.Ordinal)];
        var proxy = await ProxyProcess.StartAsync($"default_backend = \"host\"\n{toml}\n[log]\nformat = \"json\"\n[[backends]]\nname = \"host\"\n"
            + $"url = \"{host.Url}\"\ndialects = [\"openai\"]");
        started.Add(proxy);

        var port = FreePort();
        using var certificate = TestAuthority.SelfSigned();
        var (chain, key) = (
            Write("chain.pem", certificate.ExportCertificatePem()), Write("key.pem", certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem()));
        var both = Write("both.pem", File.ReadAllText(chain) + "\n" + File.ReadAllText(key));
        var site = Block(server).Replace("127.0.0.1:11435", $"127.0.0.1:{proxy.Address.Port}", StringComparison.Ordinal)
            .Replace("/etc/ssl/ai.example/chain.pem", chain, StringComparison.Ordinal).Replace("/etc/ssl/ai.example/key.pem", key, StringComparison.Ordinal)
            .Replace("/etc/haproxy/ai.example.pem", both, StringComparison.Ordinal);
        var start = new ProcessStartInfo(program!) { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = folder };
        string[] arguments = server switch
        {
            "nginx" => ["-p", folder, "-c", Write("nginx.conf", $$"""
                daemon off; pid {{folder}}/nginx.pid; error_log stderr; worker_processes 1; {{(Environment.IsPrivilegedProcess ? "user root;" : "")}}
                events { }
                http {
                    access_log off; client_body_temp_path {{folder}}/body; proxy_temp_path {{folder}}/temp;
                    fastcgi_temp_path {{folder}}/f; uwsgi_temp_path {{folder}}/u; scgi_temp_path {{folder}}/s;
                    {{site.Replace("listen 443", $"listen 127.0.0.1:{port}", StringComparison.Ordinal)}}
                }
                """)],
            "haproxy" => ["-db", "-f", Write("haproxy.cfg", site.Replace("bind :443", $"bind 127.0.0.1:{port}", StringComparison.Ordinal))],
            _ => ["run", "--adapter", "caddyfile", "--config", Write("Caddyfile", $$"""
                {
                    admin off
                    auto_https off
                }
                {{site.Replace("ai.example {", $"https://ai.example:{port} {{\n    bind 127.0.0.1\n    tls {chain} {key}", StringComparison.Ordinal)}}
                """)],
        };
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        (start.Environment["HOME"], start.Environment["XDG_DATA_HOME"], start.Environment["XDG_CONFIG_HOME"]) = (folder, folder, folder);
        started.Add(new Server(start));
        await Patience.Until(() => Task.FromResult(Accepts(port)), $"{server} listens");
        // haproxy and Caddy must have checked the proxy's health once.
        var client = Client(port);
        await Patience.Until(
            async () => (await client.GetAsync(new Uri("https://ai.example/ready"))).StatusCode is HttpStatusCode.OK, $"{server} finds the proxy ready");
        return client;
    }

    private static HttpClient Client(int port) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        ConnectCallback = async (_, cancellation) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPAddress.Loopback, port, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        },
#pragma warning disable CA5359 // the certificate's name is not under test
        SslOptions = { RemoteCertificateValidationCallback = static (_, _, _, _) => true },
#pragma warning restore CA5359
    });

    private static HttpRequestMessage Chat(string body, params (string Name, string Value)[] headers) => Post("/v1/chat/completions", body, headers);

    private static HttpRequestMessage Post(string path, string body, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "https://ai.example" + path)
        {
            Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
        };
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }

    private static async Task UntilAsync(Stream stream, string wanted)
    {
        var (text, buffer) = (new StringBuilder(), new byte[4096]);
        await Patience.For(ReadAsync(), $"'{wanted}' at the client");

        async Task ReadAsync()
        {
            while (!text.ToString().Contains(wanted, StringComparison.Ordinal))
            {
                var read = await stream.ReadAsync(buffer);
                if (read == 0) throw new InvalidOperationException($"the stream ended: {text}");
                text.Append(Encoding.UTF8.GetString(buffer, 0, read));
            }
        }
    }

    private static string Block(string language) => BlockOf().Matches(Page).Single(block => block.Groups[1].Value == language).Groups[2].Value;

    private static bool Accepts(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private string Write(string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    [GeneratedRegex("```([a-z]+)\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex BlockOf();

    /// <summary>A server in the foreground; it is ended by its own id.</summary>
    private sealed class Server : IAsyncDisposable
    {
        private readonly Process process;

        public Server(ProcessStartInfo start)
        {
            process = Process.Start(start)!;
            process.OutputDataReceived += static (_, line) => TestContext.Current.TestOutputHelper?.WriteLine(line.Data ?? "");
            process.ErrorDataReceived += static (_, line) => TestContext.Current.TestOutputHelper?.WriteLine(line.Data ?? "");
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        public async ValueTask DisposeAsync()
        {
            process.Kill(entireProcessTree: true);
            await Patience.For(process.WaitForExitAsync(), "the server's end");
            process.Dispose();
        }
    }
}
