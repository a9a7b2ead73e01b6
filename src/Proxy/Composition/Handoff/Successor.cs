using System.Globalization;
using System.IO.Pipes;
using Proxy.Cli;

namespace Proxy.Composition.Handoff;

/// <summary>
/// Starts the process that takes over. It is not a child of this process but of the service manager, which has to notice its end: a third process starts it and
/// ends at once.
/// </summary>
internal static class Successor
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Returns the new process's id.</summary>
    /// <param name="self">This process's own program.</param>
    /// <param name="command">The program to start, and its arguments.</param>
    /// <param name="environment">All of its environment.</param>
    /// <param name="descriptors">The descriptors that it gets, under the same numbers.</param>
    /// <exception cref="IOException">It cannot be started.</exception>
    public static async Task<int> StartAsync(
        IReadOnlyList<string> self, IReadOnlyList<string> command, IReadOnlyList<string> environment, IReadOnlyList<int> descriptors)
    {
        using var pipe = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.None);
        var answer = (int)pipe.ClientSafePipeHandle.DangerousGetHandle();
        string[] helper = [.. self, HandoffStart.Verb, Text(answer), string.Join(',', descriptors.Select(Text)), .. command];
        var id = ProgramStart.Start(helper, environment, [.. descriptors, answer]);
        pipe.DisposeLocalCopyOfClientHandle();
        _ = Task.Run(() => ProgramStart.WaitFor(id));
        using var reader = new StreamReader(pipe);
        var said = await reader.ReadToEndAsync().WaitAsync(Patience).ConfigureAwait(false);
        return int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
            ? pid
            : throw new IOException(said.Length > 0 ? said : $"{command[0]} cannot be started");
    }

    /// <summary>Ends a process that is not to take over after all.</summary>
    public static void Kill(int pid) => ProgramStart.Kill(pid);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
