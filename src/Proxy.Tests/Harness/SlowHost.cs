using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace Proxy.Tests.Harness;

/// <summary>How far a host has come with a call.</summary>
internal enum HostStep
{
    /// <summary>The host does not have the call.</summary>
    None,

    /// <summary>The host has the call and has not answered.</summary>
    Accepted,

    /// <summary>The first token is sent.</summary>
    First,

    /// <summary>Half of the tokens are sent.</summary>
    Middle,

    /// <summary>The last token is sent, but not the end.</summary>
    Last,

    /// <summary>The answer is sent, with its end.</summary>
    Sent,
}

/// <summary>
/// An OpenAI host that is a process of its own, so that it can be killed. Its answers are slow. What a call's last message says decides the answer: see
/// <see cref="Order"/>. Needs Python.
/// </summary>
internal sealed class SlowHost : IAsyncDisposable
{
    private const string Text = "TEXT";

    private const string Program = """
        import asyncio, json, sys

        port, role, token, stop, done, whole = int(sys.argv[1]), *(text.encode() for text in sys.argv[2:7])

        def say(*words):
            print(*words, flush=True)

        def head(kind, rest, status=b"200 OK"):
            return b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind + b"\r\n" + rest + b"\r\n\r\n"

        def document(body, status=b"200 OK"):
            return head(b"application/json", b"Content-Length: %d" % len(body), status) + body

        def chunk(body):
            return b"%x\r\n%s\r\n" % (len(body), body)

        async def answer(call, writer):
            name, count, pause = call["messages"][-1]["content"].split()
            count, pause = int(count), int(pause) / 1000
            say("Accepted", name)
            await asyncio.sleep(pause * 2)
            words = [b"%s-%d " % (name.encode(), i) for i in range(count)]
            if call.get("stream"):
                writer.write(head(b"text/event-stream", b"Transfer-Encoding: chunked") + chunk(role))
            for i, word in enumerate(words):
                if call.get("stream"):
                    writer.write(chunk(token.replace(b"TEXT", word)))
                    await writer.drain()
                if i in (0, count // 2, count - 1):
                    say({0: "First", count // 2: "Middle", count - 1: "Last"}[i], name)
                await asyncio.sleep(pause)
            if call.get("stream"):
                writer.write(chunk(stop) + chunk(done) + b"0\r\n\r\n")
            else:
                writer.write(document(whole.replace(b"TEXT", b"".join(words))))
            await writer.drain()
            say("Sent", name)

        async def serve(reader, writer):
            try:
                while True:
                    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
                    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
                    body = await reader.readexactly(length)
                    method, path = lines[0].split(" ")[:2]
                    if method == "POST":
                        await answer(json.loads(body), writer)
                    elif path == "/v1/models":
                        writer.write(document(b'{"object":"list","data":[]}'))
                    else:
                        writer.write(document(b'{"error":"not here"}', b"404 Not Found"))
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        async def main():
            server = await asyncio.start_server(serve, "127.0.0.1", port, reuse_address=True, backlog=512)
            say("Ready", "-")
            await server.serve_forever()

        asyncio.run(main())
        """;

    private readonly ConcurrentDictionary<(string Call, HostStep Step), TaskCompletionSource> reached = new();
    private readonly ConcurrentDictionary<string, (HostStep Step, int Times)> calls = new();
    private Process? process;

    public int Port { get; } = ServerTree.FreePort();

    public string Url => $"http://127.0.0.1:{Port}";

    /// <summary>Skips the test on a machine without Python.</summary>
    public static async Task NeedsPythonAsync()
    {
        try
        {
            await Command.RunAsync("python3", "--version");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("needs python3, for a host that can be killed: install python3");
        }
    }

    /// <summary>The text of a message that orders an answer.</summary>
    /// <param name="call">The call's name, without spaces.</param>
    /// <param name="tokens">How many tokens the answer has.</param>
    /// <param name="pause">Milliseconds between two of them. The host waits for twice as long before the first one.</param>
    public static string Order(string call, int tokens, int pause) => $"{call} {tokens} {pause}";

    /// <summary>The whole answer to a call, as the host sends it.</summary>
    public static string Answer(string call, int tokens, bool streams)
    {
        string[] words = [.. Enumerable.Range(0, tokens).Select(i => $"{call}-{i} ")];
        return streams ? string.Concat(OpenAi.Stream(words)) : OpenAi.Whole(string.Concat(words));
    }

    /// <summary>How far the latest generation of a call has come.</summary>
    public HostStep StepOf(string call) => calls.TryGetValue(call, out var state) ? state.Step : HostStep.None;

    /// <summary>How often the host was asked for a call's answer.</summary>
    public int TimesOf(string call) => calls.TryGetValue(call, out var state) ? state.Times : 0;

    /// <summary>Completes when the host has come so far with a call for the first time.</summary>
    public Task ReachedAsync(string call, HostStep step) => Reached(call, step).Task;

    /// <summary>SIGKILL. Returns when it is gone.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await Patience.For(process.WaitForExitAsync(), "the host's end");
        // It has forgotten its calls.
        foreach (var (call, state) in calls) calls[call] = state with { Step = HostStep.None };
    }

    /// <summary>Starts it, also after <see cref="KillAsync"/>, always on the same port, and waits until it listens.</summary>
    public async Task StartAgainAsync()
    {
        process?.Dispose();
        var ready = Reached("-", HostStep.None, anew: true);
        string[] frames = [OpenAi.Role(), OpenAi.Token(Text), OpenAi.Stop(), OpenAi.Done, OpenAi.Whole(Text)];
        process = new Process
        {
            StartInfo = new("python3", ["-c", Program, Port.ToString(CultureInfo.InvariantCulture), .. frames])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            },
        };
        process.OutputDataReceived += (_, line) => Hear(line.Data);
        process.ErrorDataReceived += static (_, line) => TestContext.Current.TestOutputHelper?.WriteLine(line.Data ?? "");
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await Patience.For(ready.Task, "the host listens");
    }

    public async ValueTask DisposeAsync()
    {
        if (process is null) return;
        if (!process.HasExited) await KillAsync();
        process.Dispose();
    }

    private void Hear(string? line)
    {
        if (line?.Split(' ') is not [var said, var call]) return;
        if (said == "Ready")
        {
            Reached(call, HostStep.None).TrySetResult();
            return;
        }

        var step = Enum.Parse<HostStep>(said);
        calls.AddOrUpdate(call, _ => (step, 1), (_, old) => (step, old.Times + (step is HostStep.Accepted ? 1 : 0)));
        Reached(call, step).TrySetResult();
    }

    private TaskCompletionSource Reached(string call, HostStep step, bool anew = false)
    {
        if (anew) reached.TryRemove((call, step), out _);
        return reached.GetOrAdd((call, step), static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
    }
}
