using System.Collections;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Proxy.Composition;
using Proxy.Composition.Handoff;

namespace Proxy.Cli;

/// <summary>
/// Starts a program in the background and ends. A running proxy uses it, and not an operator: the program is then a child of the service manager. Arguments:
/// the descriptor to which the program's id is written, or why it cannot be started; the descriptors that the program gets; the program and its arguments.
/// </summary>
internal static class HandoffStart
{
    public const string Verb = "handoff-start";

    public static int Run(IReadOnlyList<string> arguments)
    {
        if (arguments is not [Verb, var to, var list, _, ..]) return (int)ExitCode.Usage;
        var pipe = int.Parse(to, CultureInfo.InvariantCulture);
        InheritedSockets.Keep(pipe);
        using var answer = new StreamWriter(new FileStream(new SafeFileHandle(pipe, ownsHandle: true), FileAccess.Write, bufferSize: 0));
        int[] descriptors = [.. list.Split(',').Select(static one => int.Parse(one, CultureInfo.InvariantCulture))];
        var environment = new List<string>();
        foreach (DictionaryEntry one in Environment.GetEnvironmentVariables()) environment.Add($"{one.Key}={one.Value}");
        try
        {
            answer.Write(ProgramStart.Start([.. arguments.Skip(3)], environment, descriptors).ToString(CultureInfo.InvariantCulture));
            return (int)ExitCode.Ok;
        }
        catch (IOException problem)
        {
            answer.Write(problem.Message);
            return (int)ExitCode.Failed;
        }
    }
}
