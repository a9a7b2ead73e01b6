using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Proxy.Workflows.Processes;

/// <summary>
/// One running program. The job is over when the program has ended; what it started and left running is then ended too. A program whose output is not read
/// waits in its writes, as any writer to a full pipe does, so a flood takes no memory here.
/// </summary>
/// <param name="id">The program's process id, which is also that of its session and group.</param>
/// <param name="traceId">The call's id, for the log.</param>
/// <param name="mark">The variable by which its processes are found.</param>
/// <param name="output">Its stdout. A pipe: of all of .NET's types only a socket waits for one without a thread.</param>
/// <param name="error">Its stderr.</param>
/// <param name="log">Gets the lines of its stderr.</param>
internal sealed class ProcessRun(int id, string traceId, byte[] mark, Socket output, Socket error, ILogger log) : IJobRun
{
    /// <summary>The most lines of its stderr that are logged, and the most bytes of one; a longer line is logged as several.</summary>
    public const int MostLines = 200, LongestLogged = 1024;

    /// <summary>From SIGTERM to SIGKILL. These two are the system's time, not a test's: they wait for another process.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    /// <summary>What the program started may write on for so long, counted from its end and from each piece of output.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    /// <summary>The most bytes of a piece of output.</summary>
    private const int Piece = 16 << 10;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly TaskCompletionSource<int> exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource stopping = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<JobEnd> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationTokenSource silence = new(); // ends a read
    private int isTaken; // the output has a reader
    private string? stopped; // why it was ended
    private string? last; // line of stderr

    public string? RunId => null;

    public IAsyncEnumerable<ReadOnlyMemory<byte>> Output => ReadAsync(CancellationToken.None);

    public Task<JobEnd> Ended => ended.Task;

    public ValueTask CancelAsync()
    {
        Stop("it was cancelled");
        return default;
    }

    /// <summary>Reads on what is left of the output, so that a program that is not over does not wait for a reader.</summary>
    public ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isTaken, 1) == 0) _ = DiscardAsync();
        return default;
    }

    /// <summary>Has the program ended: SIGTERM, and after <see cref="Grace"/> SIGKILL. Returns at once.</summary>
    public void Stop(string reason)
    {
        Interlocked.CompareExchange(ref stopped, reason, null);
        stopping.TrySetResult();
    }

    /// <summary>Told that the program has ended: with an exit code, or with a signal, negative.</summary>
    public void HasEnded(int code) => exited.TrySetResult(code);

    /// <summary>Completes when nothing is left of it.</summary>
    public Task Gone => gone.Task;

    /// <summary>Kills everything that the program started, at once.</summary>
    public void Kill()
    {
        NativeProcess.SignalGroup(id, NativeProcess.Kill);
        foreach (var one in NativeProcess.With(mark)) NativeProcess.Signal(one, NativeProcess.Kill);
    }

    /// <summary>Follows the program to its end.</summary>
    /// <param name="left">How long it may run.</param>
    /// <param name="time">The clock of that.</param>
    /// <param name="forget">Called before the program's id may become another one's.</param>
    public async Task WatchAsync(TimeSpan left, TimeProvider time, Action<int> forget)
    {
        var hearing = HearAsync();
        using var over = new CancellationTokenSource();
        await Task.WhenAny(exited.Task, stopping.Task, Task.Delay(left, time, over.Token)).ConfigureAwait(false);
        await over.CancelAsync().ConfigureAwait(false);
        if (!exited.Task.IsCompleted)
        {
            Stop("it took longer than the pipeline's timeout");
            NativeProcess.SignalGroup(id, NativeProcess.Terminate);
            NativeProcess.SignalGroup(id, NativeProcess.Continue); // a stopped program does not get the other one
            await Task.WhenAny(exited.Task, Task.Delay(Grace)).ConfigureAwait(false);
            if (!exited.Task.IsCompleted)
            {
                log.JobKilled(traceId, Grace.TotalSeconds);
                Kill();
                await exited.Task.ConfigureAwait(false);
            }
        }

        // What the program started may still write.
        silence.CancelAfter(Quiet);
        await hearing.WaitAsync(Quiet).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await drained.Task.ConfigureAwait(false);
        ended.SetResult(End(await exited.Task.ConfigureAwait(false)));
        await EndChildrenAsync().ConfigureAwait(false);
        forget(id);
        NativeProcess.Reap(id);
        output.Dispose();
        error.Dispose();
        await hearing.ConfigureAwait(false);
        gone.SetResult();
    }

    /// <summary>Ends what the program started and left running.</summary>
    private async Task EndChildrenAsync()
    {
        for (var waited = TimeSpan.Zero; NativeProcess.With(mark) is { Count: > 0 } left && waited < Grace + Quiet; waited += Pause)
        {
            if (waited == Grace) log.JobKilled(traceId, Grace.TotalSeconds);
            var signal = waited == TimeSpan.Zero ? NativeProcess.Terminate : waited < Grace ? 0 : NativeProcess.Kill;
            foreach (var one in left) NativeProcess.Signal(one, signal);
            await Task.Delay(Pause).ConfigureAwait(false);
        }

        NativeProcess.SignalGroup(id, NativeProcess.Kill); // those that cleared their environment
    }

    private JobEnd End(int code)
    {
        if (stopped is null && code == 0) return JobEnd.Success;
        var why = stopped is not null ? $"the job was ended: {stopped}"
            : code > 0 ? $"the job failed with exit code {code}"
            : $"the job was ended by signal {-code}";
        return JobEnd.Failure(last is null ? why : $"{why}: {last}");
    }

    /// <summary>The pieces of the output. Each is valid until the next is asked for.</summary>
    private async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref isTaken, 1) == 1) yield break;
        using var leaving = cancellation.UnsafeRegister(static run => ((ProcessRun)run!).silence.Cancel(), this);
        try
        {
            var buffer = new byte[Piece];
            while (await ReceiveAsync(buffer).ConfigureAwait(false) is > 0 and var count) yield return buffer.AsMemory(0, count);
            cancellation.ThrowIfCancellationRequested();
        }
        finally
        {
            _ = DiscardAsync();
        }
    }

    /// <summary>Reads what is left of the output, to no purpose.</summary>
    private async Task DiscardAsync()
    {
        if (!exited.Task.IsCompleted) silence = new();
        var buffer = new byte[Piece];
        while (await ReceiveAsync(buffer).ConfigureAwait(false) > 0)
        {
        }

        drained.TrySetResult();
    }

    /// <summary>
    /// The next piece of the output; 0 at its end. After the program's end that is when nothing has come for <see cref="Quiet"/>, although what it started
    /// still has the pipe open.
    /// </summary>
    private async ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        var patience = silence;
        if (exited.Task.IsCompleted) patience.CancelAfter(Quiet);
        try
        {
            return await output.ReceiveAsync(into, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (exited.Task.IsCompleted && output.Available > 0)
        {
            return await output.ReceiveAsync(into, CancellationToken.None).ConfigureAwait(false); // it came while the reader was busy
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException)
        {
            return 0;
        }
    }

    /// <summary>Logs the lines of stderr.</summary>
    private async Task HearAsync()
    {
        var (buffer, kept, lines) = (new byte[LongestLogged], 0, 0L);
        while (await HearAsync(buffer.AsMemory(kept)).ConfigureAwait(false) is > 0 and var count)
        {
            var rest = buffer.AsSpan(0, kept + count);
            while (rest.IndexOf((byte)'\n') is >= 0 and var at)
            {
                Hear(rest[..at]);
                rest = rest[(at + 1)..];
            }

            if (rest.Length == buffer.Length)
            {
                Hear(rest);
                rest = default;
            }

            rest.CopyTo(buffer);
            kept = rest.Length;
        }

        Hear(buffer.AsSpan(0, kept));
        if (lines > MostLines) log.JobWroteMore(traceId, lines - MostLines);

        void Hear(ReadOnlySpan<byte> line)
        {
            line = line.TrimEnd((byte)'\r');
            if (line.IsEmpty) return;
            last = Encoding.UTF8.GetString(line);
            if (++lines <= MostLines) log.JobWrites(traceId, last);
        }
    }

    private async ValueTask<int> HearAsync(Memory<byte> into)
    {
        try
        {
            return await error.ReceiveAsync(into).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return 0;
        }
    }
}
